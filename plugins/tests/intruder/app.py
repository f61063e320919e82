"""A plugin that tries to leave its sandbox, each way when it is asked to, and tells what came."""

import encodings.idna  # noqa: F401, so that a name is not refused for want of it
import json
import os
import socket
import subprocess
import sys
import threading

from wit_world import exports
from wit_world.exports.step import Output


def read(path="/etc/passwd"):
    with open(path) as file:
        return file.read()


def write(path="left-behind"):
    with open(path, "w") as file:
        return file.write("x")


def remove(path="left-behind"):
    return os.remove(path)


def link(path="left-behind"):
    return os.symlink("/etc", path)


def folder(path="/"):
    return sorted(os.listdir(path))


def environment():
    return dict(os.environ)


def connect():
    with socket.create_connection(("127.0.0.1", 9), timeout=1) as stream:
        return stream.send(b"x")


def resolve():
    return socket.getaddrinfo("localhost", 80)


def thread():
    came = []
    worker = threading.Thread(target=lambda: came.append(1))
    worker.start()
    worker.join(1)
    return came


def process():
    return subprocess.run(["/bin/true"], check=True).returncode


def standard_input():
    return sys.stdin.read()


def arguments():
    return sys.argv[1:]


WAYS = {
    way.__name__: way
    for way in (
        read, write, remove, link, folder, environment, connect, resolve, thread, process, standard_input, arguments,
    )
}


class Meta(exports.Meta):
    def describe(self):
        return json.dumps({
            "name": "intruder",
            "version": "0.1.0",
            "kind": "step",
            "summary": "Tries to leave its sandbox.",
            "input": {
                "type": "object",
                "properties": {"way": {"enum": list(WAYS)}, "path": {"type": "string"}},
                "required": ["way"],
                "additionalProperties": False,
            },
            "output": {},
        })


class Step(exports.Step):
    def run(self, ctx, input, parts):
        asked = json.loads(input)
        try:
            came = {"came": WAYS[asked.pop("way")](**asked)}
        except BaseException as fault:
            came = {"refused": f"{type(fault).__name__}: {fault}"}
        return Output(json.dumps(came, default=str), [])

"""Questions to a model beside reqwest alone and the services' own libraries.

All ask the same server on the loopback, which answers at once. What one call takes is the time
of many calls less that of few, so that starting counts for nobody. Ours are steps of a
workflow: each is announced, its reply kept and its rows durable; the others keep nothing.
"""

import contextlib
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import zlib

from kernel import ROOT, folder
from measure import Row, absent, process, turns
from peers import PYTHON

EXCHANGE = "exchange"
TURNS = 3
SMALL, LARGE = (100, 1100), (8, 56)

SERVER = """
import asyncio, itertools
numbers = itertools.count()
def reply(path):
    name = f"reply-{next(numbers)}"
    if path.endswith("/messages"):
        return ('{"id":"%s","type":"message","role":"assistant","model":"m",'
            '"content":[{"type":"text","text":"noise"}],"stop_reason":"end_turn","stop_sequence":null,'
            '"usage":{"input_tokens":10,"output_tokens":1}}' % name)
    return ('{"id":"%s","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
        '"message":{"role":"assistant","content":"noise"},"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}' % name)
class Exchange(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.head, self.left = transport, b"", None
    def data_received(self, data):
        while data:
            if self.left is None:
                self.head += data
                head, found, data = self.head.partition(b"\\r\\n\\r\\n")
                if not found:
                    return
                fields = head.decode("latin-1").split("\\r\\n")
                self.path = fields[0].split(" ")[1]
                lengths = [f.split(":")[1] for f in fields if f.lower().startswith("content-length:")]
                self.left = int(lengths[0])
            taken = min(self.left, len(data))
            self.left, data = self.left - taken, data[taken:]
            if self.left == 0:
                body = reply(self.path).encode()
                head = b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\ncontent-length: %d\\r\\n\\r\\n"
                self.transport.write(head % len(body) + body)
                self.head, self.left = b"", None
async def main():
    server = await asyncio.get_running_loop().create_server(Exchange, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""

LIBRARY = """
import asyncio, base64, pathlib, sys
kind, url, count, at_once, *image = sys.argv[1:]
def data():
    return base64.b64encode(pathlib.Path(image[0]).read_bytes()).decode()
if kind == "openai":
    from openai import AsyncOpenAI
    client = AsyncOpenAI(base_url=url + "/v1", api_key="key", max_retries=0)
    def part():
        return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + data()}}
    async def ask(content):
        answer = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": content}])
        return answer.choices[0].message.content
else:
    from anthropic import AsyncAnthropic
    client = AsyncAnthropic(base_url=url, api_key="key", max_retries=0)
    def part():
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data()}}
    async def ask(content):
        answer = await client.messages.create(
            model="m", max_tokens=100, messages=[{"role": "user", "content": content}])
        return answer.content[0].text
async def one(number, turn):
    async with turn:
        text = {"type": "text", "text": f"What is this? {number}"}
        assert await ask([*([part()] if image else []), text]) == "noise"
async def main():
    turn = asyncio.Semaphore(int(at_once))
    await asyncio.gather(*(one(number, turn) for number in range(int(count))))
asyncio.run(main())
"""


def workflow(kind, url, count, at_once, image):
    address = url + "/v1" if kind == "openai" else url
    asks = 'image: "{{ inputs.file }}", ' if image else ""
    inputs = "inputs: { file: { type: file } }\n" if image else ""
    return f"""name: asks
concurrency: {at_once}
{inputs}providers:
  mine:
    type: {kind}
    base_url: "{address}"
    api_key: key
    concurrency: {at_once}
    models: {{ "*": {{ image_bytes: 100000000, price: {{ input: 0, output: 0 }} }} }}
steps:
  - id: ask
    for_each: {count}
    max_parallel: {at_once}
    uses: model.generate
    model: mine/m
    cache: false
    with: {{ {asks}prompt: "What is this? {{{{ item }}}}", max_tokens: 100 }}
"""


def noise(path):
    """Writes a PNG of five megabytes that does not compress."""
    side, dice = 1290, random.Random(1)
    lines = b"".join(b"\0" + dice.randbytes(side * 3) for _ in range(side))
    chunk = lambda kind, data: (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines, 0)) + chunk(b"IEND", b"")
    )


@contextlib.contextmanager
def served():
    """A server that answers at once; its address."""
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


def ours(flow, kind, url, count, at_once, image):
    place = folder()
    try:
        (place / "w.yaml").write_text(workflow(kind, url, count, at_once, image))
        given = ["--input", f"file={image}"] if image else []
        return process([flow, "run", "w.yaml", "--json", *given], cwd=place).seconds
    finally:
        shutil.rmtree(place)


def bare(flow, kind, url, count, at_once, image):
    program = flow.parent / "examples" / EXCHANGE
    given = [image] if image else []
    return process([program, f"{url}/v1/chat/completions", count, at_once, *given]).seconds


def library(flow, kind, url, count, at_once, image):
    given = [image] if image else []
    return process([PYTHON, "-c", LIBRARY, kind, url, count, at_once, *given]).seconds


def there(name):
    """Whether a library can be asked."""
    if not PYTHON.exists():
        return False
    tried = subprocess.run([PYTHON, "-c", f"import {name}"], capture_output=True)
    return tried.returncode == 0


def rows(flow):
    found = []
    place = folder()
    noise(place / "noise.png")
    peers = [
        ("openai", "reqwest alone", bare, (flow.parent / "examples" / EXCHANGE).exists(), None),
        ("openai", "openai's library", library, there("openai"), ("<=", 1)),
        ("anthropic", "anthropic's library", library, there("anthropic"), ("<=", 1)),
    ]
    try:
        with served() as url:
            for kind, name, peer, is_there, bound in peers:
                for what, (few, many), image in [
                    ("a short text", SMALL, None), ("an image of 5 MB", LARGE, place / "noise.png"),
                ]:
                    for at_once in (1, 16):
                        title = f"{what}, {at_once} at once; {name}"
                        if not is_there:
                            found.append(absent(title, "it is not there, run scripts/fetch-bench-peers"))
                            continue
                        run = lambda who, count: lambda: who(flow, kind, url, count, at_once, image)
                        taken = turns(
                            TURNS, run(ours, few), run(ours, many), run(peer, few), run(peer, many)
                        )
                        mine, theirs = [
                            (taken[at + 1] - taken[at]) / (many - few) * 1000 for at in (0, 2)
                        ]
                        if min(mine, theirs) <= 0:
                            found.append(absent(title, "the machine was too busy"))
                            continue
                        found.append(
                            Row(title, f"{mine:.2f} ms", f"{theirs:.2f} ms", mine / theirs, bound)
                        )
    finally:
        shutil.rmtree(place)
    return found

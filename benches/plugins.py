"""Calls of a plugin: each in a store of its own, from compiled code.

The guest is the committed `plugins/tests/guests/sample.wasm`, in Rust: it reads its input as JSON,
and answers in JSON.
"""

import json
import shutil
import subprocess

from kernel import ROOT, folder
from measure import Row, absent, process, turns

GUEST = ROOT / "plugins" / "tests" / "guests" / "sample.wasm"
PLUGIN = """
plugins: { sample: ./sample.wasm }
steps: [{ id: a, uses: plugin.sample, with: { do: echo, text: hello }, cache: false }]
"""
NONE = "steps: [{ id: a, uses: value.set, with: { value: { do: echo, text: hello } } }]\n"


def rows(flow):
    program = flow.parent / "examples" / "plugin_calls"
    if not program.exists():
        return [absent("calls of a plugin", f"there is no `{program.name}`; see the Makefile")]
    place = folder()
    told = subprocess.run([program, flow, GUEST, place], check=True, capture_output=True, text=True)
    took = json.loads(told.stdout)
    shutil.copy(GUEST, place / "sample.wasm")
    (place / "with.yaml").write_text(PLUGIN)
    (place / "without.yaml").write_text(NONE)

    def start(file):
        shutil.rmtree(place / ".flow", ignore_errors=True)
        environment = {"FLOW_CACHE": str(place / "flow-cache")}
        return process([flow, "run", file], cwd=place, env=environment).seconds

    start("with.yaml")  # it is compiled now, and not when it is measured
    plugin, without = turns(15, lambda: start("with.yaml"), lambda: start("without.yaml"))
    more = (plugin - without) * 1000
    shutil.rmtree(place)
    return [
        Row("a call with 1 KB of JSON, in a fresh store; units of 50 µs",
            f"{took['call_us']:.0f} µs", "50 µs", took["call_us"] / 50, ("<=", 1)),
        Row("an image of 16 MB, read through a handle; units of 8 ms",
            f"{took['file_us'] / 1000:.1f} ms", "8 ms", took["file_us"] / 8000, ("<=", 1)),
        Row("`flow run` with a cached plugin beside one without; units of 5 ms more",
            f"{more:.1f} ms more", "5 ms", more / 5, ("<=", 1)),
    ]

"""Local models beside llama.cpp's own commands, on the same file with the same threads.

The commands are built by scripts/build-llama-tools from the sources that flow is built from, and
with the same flags. What ours took is what its attempts say: the time of computing, sampling and
telling. Theirs samples nothing.
"""

import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import zlib

from kernel import ROOT, folder
from measure import Row, absent

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
TOOLS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "llama-tools"
CURVE = (1, 2, 4, 8, 16)
PROMPT, ANSWER, TURNS = 512, 128, 3


def model():
    """The small real model of the tests."""
    cache = os.environ.get("FLOW_CACHE") or (
        os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")) + "/flow"
    )
    return pathlib.Path(cache) / "models" / "smollm2-135m" / MODEL


def cores():
    """One less than there are, as flow takes by itself."""
    return max(1, (os.cpu_count() or 2) - 1)


def run(flow, within, text):
    """Runs a workflow, and gives what its store knows of it: steps with their attempts."""
    (within / "w.yaml").write_text(text)
    done = subprocess.run(
        [flow, "run", "w.yaml", "--json"], cwd=within, capture_output=True, check=False
    )
    if not done.stdout.strip():
        raise SystemExit(done.stderr.decode()[-2000:])
    ident = json.loads(done.stdout)["run"]

    def shown(step):
        told = subprocess.run(
            [flow, "show", ident, "--step", step, "--json"], cwd=within, capture_output=True, check=True
        )
        return json.loads(told.stdout)

    return shown


def took(within, shown):
    """What the attempts of a step took, as their raw replies say."""
    replies = []
    for attempt in shown["attempts"]:
        name = attempt["raw"]["$artifact"].removeprefix("sha256:")
        reply = json.loads((within / ".flow" / "artifacts" / name[:2] / name[2:]).read_text())
        replies.append(reply["took"])
    return replies


def words(seed, count):
    """Words that no other prompt begins with."""
    chance = random.Random(seed)
    common = "time year people way day man thing woman life child world school state family".split()
    return f"{seed} " + " ".join(chance.choice(common) for _ in range(count))


def header(options, projector=None):
    """A workflow's head with the model `m`."""
    eyes = f", projector: {projector}" if projector else ""
    return (
        f"name: bench\nmodels:\n  m: {{provider: llama, path: {model()}{eyes}, "
        f"options: {{threads: {cores()}, {options}}}}}\nsteps:\n"
    )


def step(ident, prompt, tokens, more="", extra=""):
    return (
        f"  - {{id: {ident}, {more}uses: model.generate, model: m, retry: {{attempts: 1}}, "
        f"on_error: continue, cache: false, with: {{{extra}prompt: \"{prompt}\", "
        f"max_tokens: {tokens}, temperature: 0}}}}\n"
    )


def bench(*arguments):
    """What llama-bench measures, in tokens a second."""
    told = subprocess.run(
        [TOOLS / "llama-bench", "-m", model(), "-t", str(cores()), "-r", "1", "-o", "json", *arguments],
        capture_output=True, check=True,
    )
    return json.loads(told.stdout)[0]["avg_ts"]


def median(values):
    values = sorted(values)
    return values[len(values) // 2]


def single(flow):
    """Prompt and generation of one sequence, in turns."""
    ours, theirs = {"read": [], "written": []}, {"read": [], "written": []}
    for turn in range(TURNS):
        theirs["read"].append(bench("-p", str(PROMPT), "-n", "0"))
        theirs["written"].append(bench("-p", "0", "-n", str(ANSWER)))
        with folder() as within:
            text = header("context: 2048, parallel: 1")
            text += step("warm", "Hello.", 4)
            text += step("a", words(turn, PROMPT - 40), 1, "needs: [warm], ")
            text += step("b", "Write a very long story about a lighthouse.", ANSWER, "needs: [a], ")
            shown = run(flow, within, text)
            [read], [written] = took(within, shown("a")), took(within, shown("b"))
            ours["read"].append(read["read"]["tokens"] / read["read"]["seconds"])
            ours["written"].append(written["written"]["tokens"] / written["written"]["seconds"])
    for key, what in [("read", f"prompt of {PROMPT} tokens"), ("written", f"answer of {ANSWER} tokens")]:
        mine, beside = median(ours[key]), median(theirs[key])
        yield Row(
            f"{what}, one sequence", f"{mine:.0f} tok/s", f"llama-bench {beside:.0f} tok/s",
            mine / beside, (">=", 0.97),
        )


def curve(flow):
    """Answers written at once, from 1 to 16."""
    told = subprocess.run(
        [TOOLS / "llama-batched-bench", "-m", model(), "-t", str(cores()), "-c", "8192", "-npp", "16",
         "-ntg", "64", "-npl", ",".join(map(str, CURVE)), "-kvu", "--output-format", "jsonl"],
        capture_output=True, check=True,
    )
    lines = [json.loads(line) for line in told.stdout.decode().splitlines() if line.startswith("{")]
    theirs = {line["pl"]: line["speed"] for line in lines}
    alone = None
    for count in CURVE:
        with folder() as within:
            text = header("context: 512, parallel: 16")
            text += step("warm", "Hello.", 4)
            loop = f"for_each: 16, max_parallel: {count}, needs: [warm], "
            text += step("loop", "{{ item }} stories about the sea, please.", 64, loop)
            shown = run(flow, within, text)
            loop = shown("loop")
            tokens = sum(
                reply["written"]["tokens"] + reply["read"]["tokens"]
                for instance in loop["instances"]
                for reply in took(within, shown(instance["path"]))
            )
            speed = tokens / seconds(loop)
        alone = alone or speed
        bound = (">=", 2.5) if count == 8 else None
        yield Row(
            f"{count} at once, read and written", f"{speed:.0f} tok/s",
            f"1 at once {alone:.0f} tok/s; llama-batched-bench {theirs.get(count, 0):.0f}",
            speed / alone, bound,
        )


def seconds(shown):
    """How long a step took by its row, in seconds."""
    import datetime

    ends = [datetime.datetime.fromisoformat(shown[key].replace("Z", "+00:00")) for key in ("started", "ended")]
    return (ends[1] - ends[0]).total_seconds()


def png(path, seed, side=336):
    """An image of noise."""
    chance = random.Random(seed)
    rows = b"".join(b"\0" + chance.randbytes(side * 3) for _ in range(side))

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def questions(flow):
    """Five questions about an image beside one."""
    ratios, times = [], []
    with folder() as within:
        subprocess.run(
            ["cargo", "run", "--quiet", "--locked", "-p", "flow-llama", "--example", "tiny", "--",
             within / "models", "576"], cwd=ROOT, check=True,
        )
        projector = within / "models" / "mmproj-576.gguf"
        for turn in range(TURNS):
            for name in ("warm", "one", "five"):
                png(within / f"{name}.png", f"{turn}{name}")
            text = header("context: 2048, parallel: 5", projector)
            text += step("warm", "What?", 2, extra="image: warm.png, ")
            loop = "for_each: {}, max_parallel: 5, needs: [{}], "
            text += step("one", "{{ item }}?", 8, loop.format(1, "warm"), "image: one.png, ")
            text += step("five", "{{ item }}?", 8, loop.format(5, "one"), "image: five.png, ")
            shown = run(flow, within, text)
            one, five = seconds(shown("one")), seconds(shown("five"))
            ratios.append(five / one)
            times.append((one, five))
    one, five = times[ratios.index(median(ratios))]
    yield Row(
        "five questions about one image beside one", f"{five:.2f} s", f"{one:.2f} s",
        median(ratios), ("<=", 1.4),
    )


def rows(flow):
    if not model().is_file():
        return [absent("local models", "scripts/fetch-llama-model gets the model")]
    if not (TOOLS / "llama-bench").is_file():
        return [absent("local models", "scripts/build-llama-tools builds llama.cpp's commands")]
    print(f"{cores()} threads", file=sys.stderr)
    return [*single(flow), *curve(flow), *questions(flow)]

"""Local models beside llama.cpp's own command, on the same file with the same threads.

The command is built by scripts/build-llama-tools from the sources that flow is built from, and
linked with the same libraries. What ours took is what its attempts say: the time of computing,
choosing and telling; theirs says the time of computing.
"""

import json
import os
import pathlib
import random
import re
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


def command(projector, image, prompt, tokens):
    """What llama.cpp's own command measures of itself: prompt and answer, in tokens a second."""
    told = subprocess.run(
        [TOOLS / "llama-mtmd-cli", "-m", model(), "--mmproj", projector, "--image", image, "--jinja",
         "--temp", "0", "-t", str(cores()), "-tb", str(cores()), "-c", "2048", "--no-warmup",
         "--perf", "-v", "-n", str(tokens), "-p", prompt],
        capture_output=True, check=True,
    )
    rates = re.findall(r"eval time = .*?([0-9.]+) tokens per second", told.stderr.decode())
    return [float(rate) for rate in rates[:2]]


def median(values):
    values = sorted(values)
    return values[len(values) // 2]


def single(flow, projector, within):
    """Prompt and answer of one sequence, in turns. A prompt is an image and words."""
    ours, theirs = ([], []), ([], [])
    image = within / "small.png"
    png(image, "small", 56)
    story = "Write a very long story about a lighthouse."
    for turn in range(TURNS):
        theirs[0].append(command(projector, image, words(turn, PROMPT - 40), 1)[0])
        theirs[1].append(command(projector, image, story, ANSWER)[1])
        text = header("context: 2048, parallel: 1", projector)
        text += step("warm", "Hello.", 4)
        text += step("a", words(turn, PROMPT - 40), 1, "needs: [warm], ")
        text += step("b", story, ANSWER, "needs: [a], ", "image: small.png, ")
        shown = run(flow, within, text)
        [read], [written] = took(within, shown("a")), took(within, shown("b"))
        ours[0].append(read["read"]["tokens"] / read["read"]["seconds"])
        ours[1].append(written["written"]["tokens"] / written["written"]["seconds"])
    for at, what in enumerate((f"prompt of {PROMPT} tokens", f"answer of {ANSWER} tokens")):
        mine, beside = median(ours[at]), median(theirs[at])
        yield Row(
            f"{what}, one sequence", f"{mine:.0f} tok/s", f"llama-mtmd-cli {beside:.0f} tok/s",
            mine / beside, (">=", 0.97),
        )


def curve(flow, within):
    """Answers written at once, from 1 to 16."""
    alone = None
    for count in CURVE:
        text = header("context: 512, parallel: 16")
        text += step("warm", "Hello.", 4)
        loop = f"for_each: 16, max_parallel: {count}, needs: [warm], "
        text += step("loop", "{{ item }} stories about the sea, please.", 64, loop)
        shown = run(flow, within, text)
        loop = shown("loop")
        replies = [
            reply for instance in loop["instances"] for reply in took(within, shown(instance["path"]))
        ]
        tokens = sum(reply["written"]["tokens"] + reply["read"]["tokens"] for reply in replies)
        speed = tokens / seconds(loop)
        alone = alone or speed
        yield Row(
            f"{count} at once, read and written", f"{speed:.0f} tok/s", f"1 at once {alone:.0f} tok/s",
            speed / alone, (">=", 2.5) if count == 8 else None,
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


def questions(flow, projector, within):
    """Five questions about an image beside one."""
    ratios, times = [], []
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
    if not (TOOLS / "llama-mtmd-cli").is_file():
        return [absent("local models", "scripts/build-llama-tools builds llama.cpp's command")]
    print(f"{cores()} threads", file=sys.stderr)
    within = folder()
    subprocess.run([TOOLS / "tiny", within / "models", "576"], check=True)
    projector = within / "models" / "mmproj-576.gguf"
    return [
        *single(flow, projector, within), *curve(flow, within), *questions(flow, projector, within),
    ]

"""What the command line costs: CPU-seconds, peak memory and size of the environment, now and at another commit.

    python -m tools.footprint --against c868d67 --clip talk.wav

Both commits run in turn on the same machine, each command in a fresh process, in the environment of this Python; the older
commit is checked out into a temporary folder. Prints a Markdown table of medians and writes it as JSON with `--json FILE`.
Bind it to one idle core (`taskset -c 0`), or the figures are those of a busy machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
SECONDS = 5
COMMANDS = {
    "info": ["info", "tokens.tlc"],
    "decode, tokens": ["decode", "tokens.tlc", "-o", "out.wav", "--force"],
    "decode, waveform": ["decode", "waveform.tlc", "-o", "out.wav", "--force"],
    "encode --tokens 8": ["encode", "clip.wav", "--tokens", "8", "-o", "out.tlc", "--force"],
    "encode --snr 25": ["encode", "clip.wav", "--snr", "25", "-o", "out.tlc", "--force"],
}
PREPARATION = {"tokens.tlc": ["--tokens", "8"], "waveform.tlc": ["--snr", "25"]}
# Runs its arguments as a child and prints what that cost, as the kernel counts it.
METER = """
import os, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(done.returncode)
"""


class Cost(NamedTuple):
    seconds: float  # of CPU time, user and system
    megabytes: float  # peak memory


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.footprint", description=__doc__.splitlines()[0])
    parser.add_argument("--against", metavar="COMMIT", help="the commit to compare with")
    parser.add_argument("--clip", type=Path, required=True, help=f"a recording; its first {SECONDS} seconds are coded")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command that count (default: 5)")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        checkouts = {"now": ROOT}
        if options.against:
            checkouts[options.against] = _checkout(work / "other", options.against)
        audio, rate = soundfile.read(options.clip, frames=SECONDS * soundfile.info(options.clip).samplerate)
        for place in checkouts:
            (work / place).mkdir(exist_ok=True)
            soundfile.write(work / place / "clip.wav", np.atleast_2d(audio.T).mean(0), rate)
            for target, words in PREPARATION.items():
                _run(checkouts[place], work / place, ["encode", "clip.wav", *words, "-o", target])
        costs = {place: {name: [] for name in COMMANDS} for place in checkouts}
        for _ in range(options.runs + 1):
            for name, words in COMMANDS.items():
                for place, checkout in checkouts.items():
                    costs[place][name].append(_run(checkout, work / place, words))
    medians = {
        place: {name: Cost(*map(statistics.median, zip(*runs[1:], strict=True))) for name, runs in rows.items()}
        for place, rows in costs.items()
    }
    print("\n".join(table(medians)))
    if options.json:
        rows = {place: {name: cost._asdict() for name, cost in row.items()} for place, row in medians.items()}
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def table(medians: dict[str, dict[str, Cost]]) -> list[str]:
    """Markdown lines: a row for each command, a column for each commit, and the ratio of the first two."""
    places = list(medians)
    lines = [
        "| | " + " | ".join(f"{place}: CPU-s, MB" for place in places) + (" | ratio |" if len(places) > 1 else " |")
    ]
    lines.append("|---" * (len(places) + 1 + (len(places) > 1)) + "|")
    for name in COMMANDS:
        own = [medians[place][name] for place in places]
        cells = [f"{cost.seconds:.2f} s, {cost.megabytes:.0f} MB" for cost in own]
        if len(own) > 1:
            cells.append(f"{own[0].seconds / own[1].seconds:.2f}, {own[0].megabytes / own[1].megabytes:.2f}")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return lines


def _checkout(folder: Path, commit: str) -> Path:
    subprocess.run(["git", "clone", "-q", "--no-checkout", str(ROOT), str(folder)], check=True)
    subprocess.run(["git", "checkout", "-q", commit], cwd=folder, check=True)
    return folder


def _run(checkout: Path, folder: Path, words: list[str]) -> Cost:
    """The cost of the command line of a checkout."""
    package = "telucodec" if (checkout / "telucodec").exists() else "codec"  # before the package was renamed
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-m", f"{package}.cli", *words]
    done = subprocess.run(
        [sys.executable, "-c", METER, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"error: {' '.join(words)} failed in {checkout}: {done.stderr.strip()}")
    seconds, megabytes = map(float, done.stdout.split())
    return Cost(seconds, megabytes)


if __name__ == "__main__":
    main()

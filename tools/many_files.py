"""What many short recordings cost: `python -m tools.many_files [--files 10000] [--seconds 1.5]`.

Writes recordings of noise by 100 speakers into a temporary folder and runs discover and preprocess on them, each in a process
of its own. Discover runs twice: the second time, it looks only at what has changed.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from pipeline.common import params, yaml12

RATE, SPEAKERS = 16000, 100
ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.many_files")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of each (default: 1.5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        workspace = Path(name)
        record(workspace / "recordings", options.files, options.seconds)
        settings = params.load(ROOT / "params.yaml").model_dump()
        settings["data"]["root"] = "recordings"
        (workspace / "params.yaml").write_text(yaml12.dump(settings), encoding="utf-8")
        audio = options.files * options.seconds
        for stage in ("discover", "discover", "preprocess"):
            spent, cpu = run(stage, workspace)
            print(
                f"{stage:10} {spent:6.1f} s, {options.files / spent:6.0f} files/s, {audio / spent:6.0f} times real time, "
                f"{cpu:5.1f} CPU-seconds, largest process so far {peak():.0f} MB",
                flush=True,
            )


def record(folder: Path, count: int, seconds: float) -> None:
    """Write recordings of different noise."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"speaker{number % SPEAKERS}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, random.normal(0, 0.1, round(seconds * RATE)), RATE)


def run(stage: str, workspace: Path) -> tuple[float, float]:
    """Seconds and CPU-seconds of a stage."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(workspace)}
    command = [sys.executable, "-m", f"pipeline.{stage}"]
    subprocess.run(command, cwd=workspace, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def peak() -> float:
    """Memory of the largest process, in MB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000


if __name__ == "__main__":
    main()

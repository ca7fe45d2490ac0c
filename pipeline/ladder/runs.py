"""Rungs as DVC experiments of the token codec's training, and what they reached, read back from git."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from pipeline import files
from pipeline.flows import graph
from pipeline.ladder.plan import Run

STAGE = "train@tokens"
LOCKED, LOCK_ATTEMPTS, LOCK_SECONDS = "Unable to acquire lock", 5, 3
GAVE_UP = re.compile(r"^error: ((?:the loss is not finite|codebooks collapsed).*)", re.MULTILINE)


class Result(NamedTuple):
    """A run with one seed: the rows of its training, or why there are none."""

    history: list[dict[str, float]]
    statistics: list[dict[str, float]]
    failure: str = ""


def perform(run: Run, seed: int) -> Result:
    """Run one rung with one seed, unless it is finished on this commit; training goes on from its checkpoint.

    Raises:
        RuntimeError: DVC failed for another reason than that the training itself gave up.
    """
    name = run.experiment(seed)
    if graph.experiment(name):
        return read(name)
    overrides = run.overrides | {"train.seed": seed}
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", name]
    for key, value in overrides.items():
        command += ["--set-param", f"{key}={json.dumps(value, ensure_ascii=False)}"]
    # One thread a run: rungs are run side by side.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for _ in range(LOCK_ATTEMPTS):
        done = subprocess.run([*command, STAGE], capture_output=True, text=True, env=environment)
        if done.returncode == 0:
            return read(name)
        output = done.stdout + done.stderr
        if LOCKED not in output:
            break
        time.sleep(LOCK_SECONDS)  # the other experiment is about to be recorded
    said = GAVE_UP.search(output)
    if said is None:
        raise RuntimeError(f"{name}: {output.strip()[-2000:]}")
    return Result([], [], said[1])


def read(name: str) -> Result:
    """What a finished experiment reached."""
    reference = graph.experiment(name)
    return Result(*(_rows(reference, files.PLOTS / "tokens" / f"{part}.csv") for part in ("history", "statistics")))


def _rows(reference: str, path: Path) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO(graph.file_at(reference, path)))
    return [{key: float(value or "nan") for key, value in row.items()} for row in rows]

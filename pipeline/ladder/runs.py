"""Rungs as DVC experiments of the token codec's training, and their results, read back from git."""

import json
import os
import re
import subprocess
import sys
import time
from typing import NamedTuple

from pipeline.common import dvc_repo, files
from pipeline.common.processes import own_path
from pipeline.ladder.plan import Run

STAGE = "train@tokens"
LOCKED, LOCK_ATTEMPTS, LOCK_SECONDS = "Unable to acquire lock", 5, 3
GAVE_UP = re.compile(r"^error: ((?:the loss is not finite|codebooks collapsed).*)", re.MULTILINE)


class Result(NamedTuple):
    """A run with one seed: the rows of its training, or the reason why there are none."""

    history: list[dict[str, float]]
    statistics: list[dict[str, float]]
    failure: str = ""


def perform(run: Run, seed: int) -> Result:
    """Run one rung with one seed, unless it is finished on this commit; training continues from its checkpoint.

    Raises:
        RuntimeError: DVC failed for a reason other than a training that ended itself.
        DvcError: there is an experiment of this name with other parameters, or in this clone DVC cannot keep experiments.
    """
    name = run.experiment(seed)
    overrides = run.overrides | {"train.seed": seed}
    if dvc_repo.finished(name, overrides):
        return read(name)
    dvc_repo.refuse_shallow()
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", name]
    for key, value in overrides.items():
        command += ["--set-param", f"{key}={json.dumps(value, ensure_ascii=False)}"]
    environment = os.environ | {"PATH": own_path(), "OMP_NUM_THREADS": "1"}  # rungs run side by side
    output = ""
    for _ in range(LOCK_ATTEMPTS):
        done = subprocess.run([*command, STAGE], capture_output=True, text=True, env=environment)
        if done.returncode == 0:
            return read(name)
        output = done.stdout + done.stderr
        if LOCKED not in output:
            break
        time.sleep(LOCK_SECONDS)  # the other experiment is about to be recorded
    reason = GAVE_UP.search(output)
    if reason is None:
        raise RuntimeError(f"{name}: {output.strip()[-2000:]}")
    return Result([], [], reason[1])


def read(name: str) -> Result:
    """The result of a finished experiment."""
    reference = dvc_repo.experiment(name)
    assert reference is not None, f"{name} is not an experiment"
    history, statistics = (
        dvc_repo.numbers_at(reference, files.PLOTS / "tokens" / f"{part}.csv") for part in ("history", "statistics")
    )
    return Result(history, statistics)

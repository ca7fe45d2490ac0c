"""Stages as processes of their own, each a Prefect task whose log is the stage's output."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator

from prefect import State, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from pipeline import files
from pipeline.flows import graph, guard
from pipeline.flows.artifacts import Progress
from pipeline.flows.workspace import MARK

SHOWN_LINES = 12  # of a failed stage, in its state
CLEARED_SECONDS = 10  # that the system may take to clear away what was killed
EXPERIMENT_STAGE = re.compile(r"Running stage '(.+?)'|Stage '(.+?)' (?:is cached|didn't change)")
PLAIN_ERROR = re.compile(r"^error: ", re.MULTILINE)  # how a stage names a fault that trying again will not mend


@contextlib.contextmanager
def started(command: list[str], fresh: bool = False) -> Iterator[subprocess.Popen]:
    """A command in a session of its own that ends, with all it started, when this block or this process does."""
    environment = os.environ | {MARK: str(files.repository()), "PYTHONUNBUFFERED": "1"}
    if fresh:
        environment["TELUCODEC_FRESH"] = "1"
    process = subprocess.Popen(
        [sys.executable, guard.__file__, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        env=environment,
    )
    ended = threading.Thread(target=_kill_what_is_left, args=(process,), daemon=True)
    ended.start()
    try:
        yield process
    finally:
        process.stdin.close()
        ended.join()
        process.stdout.close()


def _kill_what_is_left(process: subprocess.Popen) -> None:
    """A guard that was itself killed leaves the stage behind, and its pipe open.

    DVC believes a killed DVC process to hold the workspace until the system has cleared it away.
    """
    process.wait()
    deadline = time.monotonic() + CLEARED_SECONDS
    with contextlib.suppress(ProcessLookupError):  # raised when nothing is left
        while time.monotonic() < deadline:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.05)


@task(cache_policy=NO_CACHE)
def run_stage(stage: str, force: bool, epochs: int) -> State:
    """Run one stage by `dvc repro --single-item`; its last lines are the message of a failure."""
    from prefect.runtime import task_run

    first = task_run.run_count <= 1  # a retry goes on from the checkpoint
    if not first:
        graph.mend()
    flags = ["--force"] if force else []
    with started(
        [sys.executable, "-m", "dvc", "repro", "--single-item", *flags, stage], fresh=force and first
    ) as process:
        last, progress = _follow(process.stdout, stage, epochs)
        code = process.wait()
    if code != 0:
        return failure(stage, last)
    progress.close()
    return Completed(message="done")


@task(cache_policy=NO_CACHE)
def up_to_date(stage: str) -> State:
    """A stage that DVC need not run."""
    return Completed(message="up to date", name="Cached")


class Experiment:
    """The output of `dvc exp run`, which runs all stages, cut into stages."""

    def __init__(self, process: subprocess.Popen):
        self._process = process
        self._lines = iter(process.stdout)
        self.next_stage: str | None = None
        self.preamble: list[str] = []
        self.preamble = list(self.lines())
        self.last = self.preamble[-SHOWN_LINES:]

    def lines(self) -> Iterator[str]:
        """Lines up to the next stage's first."""
        self.next_stage = None
        for line in self._lines:
            if match := EXPERIMENT_STAGE.search(line):
                self.next_stage = match[1] or match[2]
                return
            yield line

    def succeeded(self) -> bool:
        return self._process.wait() == 0


@task(cache_policy=NO_CACHE)
def follow_stage(stage: str, running: Experiment, epochs: int) -> State:
    """The part of an experiment that is this stage."""
    running.last, progress = _follow(running.lines(), stage, epochs)
    if running.next_stage is None and not running.succeeded():
        return failure(stage, running.last)
    progress.close()
    return Completed(message="done")


def failure(stage: str, last: list[str]) -> State:
    """A failed state that says what the stage said, from its own error sentence on where it has one."""
    own = [line for line in last if not line.startswith("ERROR: failed to reproduce")]  # DVC's wrapper around it
    text = "\n".join(own or last)
    if match := PLAIN_ERROR.search(text):
        text = text[match.start() :]
    return Failed(message=f"{stage}: {text or 'ended without a word; was it killed?'}")


def worth_a_retry(_task, _run, state: State) -> bool:
    return not re.match(r"\S+: error: ", state.message or "")


def _follow(lines, stage: str, epochs: int) -> tuple[list[str], Progress]:
    """Log each line and show progress; returns the last lines, and the progress, to be closed on success."""
    logger, progress, last = get_run_logger(), Progress(stage, epochs), deque(maxlen=SHOWN_LINES)
    for line in lines:
        if line := line.rstrip():
            logger.info(line)
            progress.read(line)
            last.append(line)
    return list(last), progress

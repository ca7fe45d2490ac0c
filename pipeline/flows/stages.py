"""Stages as processes, each a Prefect task whose log is the output of the stage."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO

from prefect import State, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from pipeline.common import dvc_repo, files
from pipeline.common.processes import own_path
from pipeline.flows import guard
from pipeline.flows.artifacts import Progress
from pipeline.flows.workspace import MARK

SHOWN_LINES = 12  # last lines of a failed stage that its state shows
CLEARED_SECONDS = 10  # for the system to remove killed processes
EXPERIMENT_STAGE = re.compile(r"Running stage '(.+?)'|Stage '(.+?)' (?:is cached|didn't change)")
PLAIN_ERROR = re.compile(r"^error: ", re.MULTILINE)  # begins a fault that a retry cannot repair

Command = subprocess.Popen[str]


@contextlib.contextmanager
def started(command: list[str], fresh: bool = False) -> Iterator[Command]:
    """A command in a new session; it and all its children end when this block or this process ends."""
    environment = os.environ | {MARK: str(files.repository()), "PYTHONUNBUFFERED": "1", "PATH": own_path()}
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
        if process.stdin:
            process.stdin.close()
        ended.join()
        output(process).close()


def output(process: Command) -> IO[str]:
    """What a command prints."""
    assert process.stdout is not None, "it was started with a pipe"
    return process.stdout


def _kill_what_is_left(process: Command) -> None:
    """Kill the stage that a killed guard leaves behind.

    DVC considers the workspace locked by a killed DVC process until the system has removed that process.
    """
    process.wait()
    deadline = time.monotonic() + CLEARED_SECONDS
    with contextlib.suppress(ProcessLookupError):  # raised when nothing is left
        while time.monotonic() < deadline:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.05)


@task(cache_policy=NO_CACHE)
def run_stage(stage: str, force: bool, epochs: int) -> State:
    """Run one stage with `dvc repro --single-item`; the message of a failure is its last lines."""
    from prefect.runtime import task_run

    first = task_run.run_count <= 1  # a retry continues from the checkpoint
    if not first:
        dvc_repo.repair()
    flags = ["--force"] if force else []
    with started(
        [sys.executable, "-m", "dvc", "repro", "--single-item", *flags, stage], fresh=force and first
    ) as process:
        last, progress = _follow(output(process), stage, epochs)
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
    """The output of `dvc exp run`, which runs all stages, divided into stages."""

    def __init__(self, process: Command):
        self._process = process
        self._lines = iter(output(process))
        self.next_stage: str | None = None
        self.preamble: list[str] = []
        self.preamble = list(self.lines())
        self.last = self.preamble[-SHOWN_LINES:]

    def lines(self) -> Iterator[str]:
        """The lines before the first line of the next stage."""
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
    """Follow the part of an experiment that belongs to this stage."""
    running.last, progress = _follow(running.lines(), stage, epochs)
    if running.next_stage is None and not running.succeeded():
        return failure(stage, running.last)
    progress.close()
    return Completed(message="done")


def failure(stage: str, last: list[str]) -> State:
    """A failed state with the last lines of a stage, from its own error message on if there is one."""
    own = [line for line in last if not line.startswith("ERROR: failed to reproduce")]  # which is DVC's own
    text = "\n".join(own or last)
    if match := PLAIN_ERROR.search(text):
        text = text[match.start() :]
    return Failed(message=f"{stage}: {text or 'ended without a message; was it killed?'}")


def worth_a_retry(_task: object, _run: object, state: State) -> bool:
    """Whether a retry may succeed: not after an error that the stage itself explains."""
    return not re.match(r"\S+: error: ", state.message or "")


def _follow(lines: Iterable[str], stage: str, epochs: int) -> tuple[list[str], Progress]:
    """Log each line and show progress; returns the last lines, and the progress, to be closed on success."""
    logger, progress = get_run_logger(), Progress(stage, epochs)
    last: deque[str] = deque(maxlen=SHOWN_LINES)
    for line in lines:
        if line := line.rstrip():
            logger.info(line)
            progress.read(line)
            last.append(line)
    return list(last), progress

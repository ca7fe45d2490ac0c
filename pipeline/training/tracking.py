"""W&B tracking in a process of its own, so that it can never end a run.

The stage writes rows into a pipe and never waits for an answer. Whatever W&B does on the other side (no key, no network, a
server that hangs, a hung or killed wandb-core), the stage continues. At the end the tracker has FINISH_SECONDS to write and
upload the rest; then it ends itself and all its children, even if the stage was killed. No metric is read from W&B; DVC's
files hold them.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from select import PIPE_BUF
from typing import IO, Any

import psutil

from pipeline.common.sections import Tracking

INIT_SECONDS = 15
FINISH_SECONDS = 24
GRACE_SECONDS = 3  # after which the stage kills a tracker that has not ended itself
FAILURES_ALLOWED = 3
QUIET = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}  # error reporting would wait for the server at exit
ONE_RUN = "WANDB_RUN_ID", "WANDB_RESUME"  # with which the trainings of a pipeline would all become one run
DVC_VARIABLES = "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE"


class Run:
    """The stage's side of the tracker: `log` takes a row of numbers and returns at once."""

    def __init__(self, process: "subprocess.Popen[bytes] | None"):
        self._process = process
        self._failures = 0

    def log(self, values: dict[str, float], step: int) -> None:
        """Send numbers for a step. If the tracker does not take them, they are dropped; after three times tracking ends."""
        if self._process is None:
            return
        try:
            for part in _parts({"step": step, **values}):
                os.write(_pipe(self._process).fileno(), part)
        except BlockingIOError:  # the tracker has stopped reading
            self._failures += 1
        except OSError:  # it is gone
            self._failures = FAILURES_ALLOWED
        if self._failures >= FAILURES_ALLOWED:
            _say("the tracker stopped answering; continuing without tracking")
            self.finish(0)

    def finish(self, seconds: float) -> None:
        """Let the tracker end within `seconds`, then kill it and its children."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            _pipe(process).close()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end_with_children(process.pid)
            process.wait()


@contextlib.contextmanager
def start(settings: Tracking, config: dict[str, Any], folder: Path) -> Iterator[Run]:
    """Track a run in W&B.

    WANDB_MODE in the environment decides before `tracking.wandb`. With `online` it falls back to offline and then to no tracking.

    Args:
        config: parameters of the run, shown in W&B.
        folder: of this run, outside version control, for the files of W&B; its name groups the parts of a continued run.
    """
    mode = os.environ.get("WANDB_MODE", settings.wandb)
    process = None if mode == "disabled" else _launch(settings, mode, config, folder)
    run = Run(process)
    try:
        yield run
    finally:
        run.finish(FINISH_SECONDS + GRACE_SECONDS)


def _launch(settings: Tracking, mode: str, config: dict[str, Any], folder: Path) -> "subprocess.Popen[bytes] | None":
    described = {variable.lower(): os.environ[variable] for variable in DVC_VARIABLES if variable in os.environ}
    order = {
        "mode": mode,
        "init_seconds": INIT_SECONDS,
        "finish_seconds": FINISH_SECONDS,
        "run": {
            "project": settings.project,
            "name": os.environ.get("DVC_EXP_NAME"),
            "group": folder.name,
            "dir": str(folder),
            "config": {**config, **described},
        },
    }
    try:
        (folder / "tracking.json").write_text(json.dumps(order), encoding="utf-8")
        with (folder / "tracking.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.training.tracking", str(folder / "tracking.json")],
                stdin=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the stage, which then lets the tracker finish
                env={name: value for name, value in os.environ.items() if name not in ONE_RUN} | QUIET,
            )
    except OSError as error:
        _say(f"the tracker cannot start ({error}); continuing without tracking")
        return None
    os.set_blocking(_pipe(process).fileno(), False)
    return process


def _pipe(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    assert process.stdin is not None, "it was started with a pipe"
    return process.stdin


def _parts(row: dict[str, Any]) -> Iterator[bytes]:
    """A row as lines that are short enough to be written to the pipe completely or not at all."""
    line = json.dumps(row, default=float).encode() + b"\n"
    if len(line) <= PIPE_BUF or len(row) <= 2:
        yield line
        return
    step, *values = row.items()
    half = len(values) // 2
    yield from _parts(dict([step, *values[:half]]))
    yield from _parts(dict([step, *values[half:]]))


def _end_with_children(process_id: int) -> None:
    """Kill a process and its children; wandb-core has a session of its own, so killing the process group is not enough."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        for member in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


def track(order: dict[str, Any]) -> None:
    """The tracker's side: open W&B and pass on rows from standard input until the input ends."""
    rows: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(rows, order), daemon=True).start()
    run = _open(order)
    failures = 0
    for row in iter(rows.get, None):
        if run is None:
            continue
        try:
            run.log(row, step=row.pop("step"))
        except Exception as error:  # W&B raises whatever its transport raises
            failures += 1
            if failures == FAILURES_ALLOWED:
                _say(f"rows cannot be logged ({_reason(error)}); continuing without tracking")
                run = None
    if run is None:
        return
    try:
        run.finish()
    except Exception as error:
        _say(f"the run was not finished ({_reason(error)}); its files are in {order['run']['dir']}/wandb")
        return
    stored = Path(run.dir).parent
    _say(f"offline run; upload it with: wandb sync {stored}" if run.offline else run.url)


def _read(rows: "queue.SimpleQueue[dict[str, Any] | None]", order: dict[str, Any]) -> None:
    """Take rows off the pipe even while W&B hangs. When the stage has closed the pipe or died, start the clock."""
    with contextlib.suppress(ValueError):  # half a line of a stage that was killed
        for line in sys.stdin:
            rows.put(json.loads(line))
    rows.put(None)
    time.sleep(order["finish_seconds"])
    try:
        _say(
            f"not finished after {order['finish_seconds']} s, so the tracker was ended; the run itself is not affected. "
            f"The files are in {order['run']['dir']}/wandb"
        )
    finally:
        _end_with_children(os.getpid())


def _open(order: dict[str, Any]) -> Any:
    try:
        import wandb
    except ImportError:
        _say("not installed; continuing without tracking")
        return None
    for mode in ("online", "offline") if order["mode"] == "online" else ("offline",):
        try:
            settings = wandb.Settings(init_timeout=order["init_seconds"], console="off", silent=True)
            return wandb.init(mode=mode, settings=settings, **order["run"])
        except Exception as error:  # UsageError, CommError, and what a broken installation may raise
            after = "offline" if mode == "online" else "without tracking"
            _say(f"cannot start {mode} ({_reason(error)}); continuing {after}")
    return None


def _say(message: str) -> None:
    print(f"W&B: {message}", flush=True)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__


if __name__ == "__main__":
    track(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

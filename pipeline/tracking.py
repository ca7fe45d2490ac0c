"""W&B tracking that can never end a run: it lives in a process of its own.

The stage writes rows into a pipe and never waits for an answer. Whatever W&B does on the other side (no key, no network, a
server that hangs, a hung or killed wandb-core), the stage goes on. At its end the tracker has FINISH_SECONDS to write and
upload the rest; then it ends itself and all its children, also when the stage was killed. W&B is never the source of a
metric: DVC's files are.
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

import psutil

from pipeline.sections import Tracking

INIT_SECONDS = 15
FINISH_SECONDS = 24
GRACE_SECONDS = 3  # after which the stage ends a tracker that doesn't end itself
FAILURES_ALLOWED = 3
QUIET = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}  # its telemetry would wait for the server at exit
DVC_VARIABLES = "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "DVC_STAGE"


class Run:
    """What a stage sees of the tracker: `log` takes a row of numbers and returns at once."""

    def __init__(self, process: subprocess.Popen | None):
        self._process = process
        self._failures = 0

    def log(self, values: dict[str, float], step: int) -> None:
        """Send numbers for a step; if the tracker doesn't take them they are dropped, and after three times it is off."""
        if self._process is None:
            return
        try:
            for part in _parts({"step": step, **values}):
                os.write(self._process.stdin.fileno(), part)
        except BlockingIOError:  # the tracker has stopped reading
            self._failures += 1
        except OSError:  # it is gone
            self._failures = FAILURES_ALLOWED
        if self._failures >= FAILURES_ALLOWED:
            _say("the tracker stopped answering; going on without tracking")
            self.finish(0)

    def finish(self, seconds: float) -> None:
        """Let the tracker end within `seconds`, then end it and its children by force."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end_with_children(process.pid)
            process.wait()


@contextlib.contextmanager
def start(settings: Tracking, config: dict, folder: Path) -> Iterator[Run]:
    """Track a run in W&B as `tracking.wandb` says: online (else offline, else not at all), offline or disabled.

    Args:
        config: what decides the run, shown in W&B.
        folder: of this run, outside version control; W&B's files lie there, and its name groups continued runs.
    """
    process = None if settings.wandb == "disabled" else _launch(settings, config, folder)
    run = Run(process)
    try:
        yield run
    finally:
        run.finish(FINISH_SECONDS + GRACE_SECONDS)


def _launch(settings: Tracking, config: dict, folder: Path) -> subprocess.Popen | None:
    described = {variable.lower(): os.environ[variable] for variable in DVC_VARIABLES if variable in os.environ}
    order = {
        "mode": settings.wandb,
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
                [sys.executable, "-m", "pipeline.tracking", str(folder / "tracking.json")],
                stdin=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is the stage's, which then lets the tracker finish
                env=os.environ | QUIET,
            )
    except OSError as error:
        _say(f"the tracker cannot start ({error}); going on without tracking")
        return None
    os.set_blocking(process.stdin.fileno(), False)
    return process


def _parts(row: dict) -> Iterator[bytes]:
    """A row as lines short enough for the pipe to take whole or not at all."""
    line = json.dumps(row, default=float).encode() + b"\n"
    if len(line) <= PIPE_BUF or len(row) <= 2:
        yield line
        return
    step, *values = row.items()
    half = len(values) // 2
    yield from _parts(dict([step, *values[:half]]))
    yield from _parts(dict([step, *values[half:]]))


def _end_with_children(process_id: int) -> None:
    """Kill a process and what it started; wandb-core is in a session of its own, so its process group won't do."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        for member in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()


def track(order: dict) -> None:
    """The tracker's side: open W&B and pass on rows from standard input until it ends."""
    rows: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
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
                _say(f"rows cannot be logged ({_reason(error)}); going on without tracking")
                run = None
    if run is None:
        return
    try:
        run.finish()
    except Exception as error:
        _say(f"the run was not finished ({_reason(error)}); what was written lies in {order['run']['dir']}/wandb")
        return
    stored = Path(run.dir).parent
    _say(f"offline run; upload it with: wandb sync {stored}" if run.offline else run.url)


def _read(rows: queue.SimpleQueue, order: dict) -> None:
    """Take rows off the pipe even while W&B hangs; once the stage has closed it or died, start the clock."""
    with contextlib.suppress(ValueError):  # half a line of a stage that was killed
        for line in sys.stdin:
            rows.put(json.loads(line))
    rows.put(None)
    time.sleep(order["finish_seconds"])
    try:
        _say(
            f"not finished after {order['finish_seconds']} s, so it was ended; the run itself is not affected. "
            f"What was written lies in {order['run']['dir']}/wandb"
        )
    finally:
        _end_with_children(os.getpid())


def _open(order: dict):
    try:
        import wandb
    except ImportError:
        _say("not installed; going on without tracking")
        return None
    for mode in ("online", "offline") if order["mode"] == "online" else ("offline",):
        try:
            settings = wandb.Settings(init_timeout=order["init_seconds"], console="off", silent=True)
            return wandb.init(mode=mode, settings=settings, **order["run"])
        except Exception as error:  # UsageError, CommError, and what a broken installation may raise
            after = "offline" if mode == "online" else "without tracking"
            _say(f"cannot start {mode} ({_reason(error)}); going on {after}")
    return None


def _say(message: str) -> None:
    print(f"W&B: {message}", flush=True)


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__


if __name__ == "__main__":
    track(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

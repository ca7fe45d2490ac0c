"""W&B tracking that can never end a run: it lives in a process of its own.

The stage writes rows into a pipe and never waits for an answer. Whatever W&B does on the other side (no key, no network, a
server that hangs, a killed wandb-core), the stage goes on; at its end it waits at most FINISH_SECONDS, then ends the
tracker with all its children. W&B is never the source of a metric: DVC's files are.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.params import Tracking

INIT_SECONDS = 15
FINISH_SECONDS = 25
FAILURES_ALLOWED = 3
ATOMIC = 4096  # bytes that a pipe takes whole or not at all (PIPE_BUF on Linux)
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
            print("W&B tracking stopped answering and is off for the rest of this run", flush=True)
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
            if seconds:
                print(f"W&B did not finish within {seconds:g} s and was ended; the run itself is complete", flush=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also a wandb-core left behind
        process.wait()


@contextlib.contextmanager
def start(settings: Tracking, config: dict, folder: Path) -> Iterator[Run]:
    """Track a run in W&B as `tracking.wandb` says: online (else offline, else not at all), offline or off.

    Args:
        config: what decides the run, shown in W&B.
        folder: of this run, outside version control; W&B's files lie there, and its name groups continued runs.
    """
    if settings.wandb == "off":
        yield Run(None)
        return
    described = {variable.lower(): os.environ[variable] for variable in DVC_VARIABLES if variable in os.environ}
    order = {
        "mode": settings.wandb,
        "project": settings.project,
        "name": os.environ.get("DVC_EXP_NAME"),
        "group": folder.name,
        "folder": str(folder),
        "config": {**config, **described},
    }
    (folder / "tracking.json").write_text(json.dumps(order), encoding="utf-8")
    with (folder / "tracking.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.tracking", str(folder / "tracking.json")],
            stdin=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            env=os.environ | {"WANDB_SILENT": "true"},
        )
    os.set_blocking(process.stdin.fileno(), False)
    run = Run(process)
    try:
        yield run
    finally:
        run.finish(FINISH_SECONDS)


def _parts(row: dict) -> Iterator[bytes]:
    """A row as lines short enough for the pipe to take whole."""
    line = json.dumps(row).encode() + b"\n"
    if len(line) <= ATOMIC or len(row) <= 2:
        yield line
        return
    step, *values = row.items()
    half = len(values) // 2
    yield from _parts(dict([step, *values[:half]]))
    yield from _parts(dict([step, *values[half:]]))


def track(order: dict) -> None:
    """The tracker's side: open W&B and pass on rows from standard input until it ends."""
    run = _open(order)
    failures = 0
    for line in sys.stdin:
        row = json.loads(line)
        if run is None or failures >= FAILURES_ALLOWED:
            continue  # keep reading: a full pipe would look like a fault to the stage
        try:
            run.log(row, step=row.pop("step"))
        except Exception as error:  # W&B raises whatever its transport raises
            failures += 1
            print(f"W&B: row not logged ({error})", file=sys.stderr)
    if run is not None and failures < FAILURES_ALLOWED:
        run.finish()
        if run.offline:
            print(f"W&B: offline run in {run.dir}; `wandb sync` on it uploads it", file=sys.stderr)


def _open(order: dict):
    try:
        import wandb
    except ImportError:
        print("W&B is not installed; tracking is off", flush=True)
        return None
    for mode in ("online", "offline") if order["mode"] == "online" else ("offline",):
        try:
            settings = wandb.Settings(init_timeout=INIT_SECONDS, console="off", silent=True)
            fixed = {key: order[key] for key in ("project", "name", "group", "config")}
            return wandb.init(mode=mode, dir=order["folder"], settings=settings, **fixed)
        except Exception as error:  # UsageError, CommError, and what a broken installation may raise
            after = "offline" if mode == "online" else "without tracking"
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"W&B cannot start {mode} ({reason}); going on {after}", flush=True)
    return None


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the stage's; it ends the tracker
    track(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

"""One run at a time in a workspace, and a clean-up after runs that died.

Every run holds a lock on a file that has its id as the name. A kill releases the lock but leaves the file, so a file without a
lock is a dead run, whatever state the server has recorded.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal
from uuid import UUID

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from pipeline.common import files
from telucodec.audio.folders import walk

IfBusy = Literal["wait", "refuse"]
MARK = "TELUCODEC_FLOW_IN"  # in the environment of every stage that a flow starts


class WorkspaceBusy(Exception):
    """Another run is using this workspace; the message names it."""


@contextlib.contextmanager
def recorded(run: UUID) -> Iterator[None]:
    """Record this run as alive, so that the sweep of a later one can tell whether it died."""
    folder = files.work_folder("flows")
    path, unfinished = folder / str(run), folder / f".{run}"
    with unfinished.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        unfinished.rename(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def occupied(name: str, if_busy: IfBusy, say: Callable[[str], None]) -> Iterator[None]:
    """Use the workspace alone, and end the stages that dead runs left running in it.

    Args:
        say: gets a message if the workspace is busy.

    Raises:
        WorkspaceBusy: it is in use, and `if_busy` is `refuse`.
    """
    with (files.work_folder("") / "flow.lock").open("a+") as file:
        announced = False
        while not _locked(file):
            file.seek(0)
            busy = f"another run is using this workspace: {file.read() or 'just starting'}"
            if if_busy == "refuse":
                raise WorkspaceBusy(f"{busy}; start again when it has ended, or with if_busy=wait")
            if not announced:
                say(f"{busy}; waiting for it")
                announced = True
            time.sleep(1)
        file.truncate(0)
        file.write(f"{name} (process {os.getpid()})")
        file.flush()
        end_orphans()
        try:
            yield
        finally:
            file.truncate(0)


def sweep() -> list[str]:
    """Mark the runs whose process died as crashed, which frees their slots on the server; returns their names."""
    swept = []
    for path in [path for path in files.work_folder("flows").iterdir() if not path.name.startswith(".")]:
        with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
            if _locked(file):
                with contextlib.suppress(ObjectNotFound):  # a run of another server, which stays recorded
                    swept += _mark_crashed(UUID(path.name))
                    path.unlink()
    return swept


def crash_pending(pool: str) -> list[str]:
    """Mark the runs that a dead worker had taken but not begun, which frees their slots; returns their names.

    Nothing records such a run as alive, so only whoever is about to start the one worker of the pool may call it.
    """
    pending = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING])))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_run_filter=pending, work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
        )
        for run in runs:
            client.set_flow_run_state(run.id, Crashed(message="Its worker died before it began."), force=True)
    return [run.name for run in runs]


def end_orphans() -> None:
    """End the stages of dead runs. Only the holder of the workspace may call it, before it starts a stage."""
    root = str(files.repository())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == root:
                process.kill()
                process.wait(10)


def _mark_crashed(run: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        record = client.read_flow_run(run)
        if record.state is None or record.state.is_final():
            return []
        message = "Its process died. The next run continues; nothing half-written counts as finished."
        client.set_flow_run_state(run, Crashed(message=message), force=True)
        return [record.name]


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def listing(folder: Path) -> dict[str, list[int]]:
    """Size and modification time of every file below a folder, by its path. Hidden files do not count."""
    entries = {}
    for path in sorted(walk(folder)):
        with contextlib.suppress(OSError):  # of a file that has gone meanwhile, or a link to nowhere
            status = path.stat()
            name = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
            entries[name] = [status.st_size, status.st_mtime_ns]
    return entries

"""One run at a time in a workspace, and nothing left of runs that died.

Every run holds a lock on a file that names it. A kill takes the lock but leaves the file, so a file without a lock is a
dead run, whatever the server still believes.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from uuid import UUID

import psutil
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from pipeline import files

IfBusy = Literal["wait", "refuse"]
MARK = "TELUCODEC_FLOW_IN"  # in the environment of every stage that a flow starts


class WorkspaceBusy(Exception):
    """Another run works in this workspace; the message names it."""


@contextlib.contextmanager
def recorded(run: UUID) -> Iterator[None]:
    """Be known as a live run, so that the sweep of a later one can tell whether this one died."""
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
def occupied(name: str, if_busy: IfBusy, say) -> Iterator[None]:
    """Have the workspace alone; wait for it, or raise WorkspaceBusy. Then end what dead runs left running in it."""
    with (files.work_folder("") / "flow.lock").open("a+") as file:
        told = False
        while not _locked(file):
            file.seek(0)
            busy = f"another run works in this workspace: {file.read() or 'just starting'}"
            if if_busy == "refuse":
                raise WorkspaceBusy(f"{busy}; start again when it is done, or with if_busy=wait")
            if not told:
                say(f"{busy}; waiting for it")
                told = True
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
    """Mark the runs whose process died as crashed, which frees their slot on the server; returns their names."""
    swept = []
    for path in [path for path in files.work_folder("flows").iterdir() if not path.name.startswith(".")]:
        with contextlib.suppress(FileNotFoundError), path.open("r+") as file:
            if _locked(file):
                with contextlib.suppress(ObjectNotFound):  # it is another server's to hear of, and stays recorded
                    swept += _mark_crashed(UUID(path.name))
                    path.unlink()
    return swept


def end_orphans() -> None:
    """End the stages of runs that died; for the holder of the workspace, who has started none yet."""
    root = str(files.repository())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == root:
                process.kill()
                process.wait(10)


def _mark_crashed(run: UUID) -> list[str]:
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(run)
        if found.state is None or found.state.is_final():
            return []
        message = "Its process died. Nothing half-written counts as done; the next run goes on from what is finished."
        client.set_flow_run_state(run, Crashed(message=message), force=True)
        return [found.name]


def _locked(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def listing(folder: Path) -> dict[str, list[int]]:
    """Size and time of change of each file below a folder, by its path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                status = path.stat()
                found[str(path.relative_to(folder))] = [status.st_size, status.st_mtime_ns]
    return found

"""Worker processes that never outlive their stage, and where programs are found."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path

from telucodec.processors import end_with_parent, usable

THREADS = "OMP_NUM_THREADS"  # what numerical libraries read when they are loaded


def workers(processes: int | None = None) -> ProcessPoolExecutor:
    """A pool of new processes, by default one for each processor that may be used, with a thread each for numerical libraries.

    They are spawned: forking after torch has threads can hang.
    """
    return ProcessPoolExecutor(processes or usable(), _Context(), initializer=end_with_parent)


class _Process(SpawnProcess):
    def start(self) -> None:
        """Start with one thread: more of them than processors wait for each other, and the work takes twice as long."""
        before = os.environ.get(THREADS)
        os.environ[THREADS] = "1"
        try:
            super().start()
        finally:
            if before is None:
                del os.environ[THREADS]
            else:
                os.environ[THREADS] = before


class _Context(SpawnContext):
    Process = _Process


def own_path() -> str:
    """PATH with the programs of this Python's environment first, which need not be activated."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

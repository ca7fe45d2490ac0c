"""Worker processes that never outlive their stage, and where programs are found."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from telucodec.processors import end_with_parent, usable


def workers(processes: int | None = None) -> ProcessPoolExecutor:
    """A pool of new processes, by default one for each processor that may be used.

    They are spawned: forking after torch has threads can hang.
    """
    return ProcessPoolExecutor(processes or usable(), multiprocessing.get_context("spawn"), initializer=end_with_parent)


def own_path() -> str:
    """PATH with the programs of this Python's environment first, which need not be activated."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

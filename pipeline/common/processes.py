"""Worker processes that never outlive their stage, and where programs are found."""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def workers(processes: int | None = None) -> ProcessPoolExecutor:
    """A pool of new processes, by default one per core. They are spawned: forking after torch has threads can hang."""
    return ProcessPoolExecutor(
        processes or os.cpu_count(), multiprocessing.get_context("spawn"), initializer=end_with_parent
    )


def end_with_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and end when the parent ends, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "called outside a worker"

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def own_path() -> str:
    """PATH with the programs of this Python's environment first, which need not be activated."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

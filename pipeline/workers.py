"""Worker processes that never outlive their stage."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor


def workers(processes: int | None = None) -> ProcessPoolExecutor:
    """A pool of fresh processes, one for each core unless told otherwise; forking after torch has threads can hang."""
    return ProcessPoolExecutor(
        processes or os.cpu_count(), multiprocessing.get_context("spawn"), initializer=end_with_parent
    )


def end_with_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and outlive it by no means, not even its SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

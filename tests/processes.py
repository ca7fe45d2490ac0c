"""Living processes that a test has started; any of them may end while it is looked at."""

import contextlib
from collections.abc import Callable, Iterable

import psutil


def living(
    chosen: Callable[[psutil.Process], bool], among: Iterable[psutil.Process] | None = None
) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter() if among is None else among:
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and chosen(process):
                found.append(process)
    return found


def says(process: psutil.Process, words: str) -> bool:
    """Whether the words are in its command."""
    return words in " ".join(process.cmdline())


def end(found: Iterable[psutil.Process]) -> None:
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()

"""Flows as processes that need not import Prefect again: each is forked from one that has, which saves seconds a run."""

import atexit
import multiprocessing
import os
import sys
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")


class Flow:
    """`python -m pipeline.flows ARGUMENTS` in a folder, with additions to this process's environment."""

    def __init__(self, folder: Path, environment: dict[str, str], log: Path, arguments: tuple[str, ...]):
        FORKS.set_forkserver_preload(["pipeline.flows.flows", "pipeline.flows.__main__", __name__])
        self._log = log
        self._process = FORKS.Process(target=_main, args=(folder, environment, log, arguments), daemon=True)
        self._process.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def output(self, code: int = 0, seconds: float = 120) -> str:
        """All that it printed, after its end, which must be with this exit code."""
        self._process.join(seconds)
        assert self._process.exitcode == code, f"exit code {self._process.exitcode}\n{self.printed()}"
        return self.printed()

    def printed(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


def _main(folder: Path, environment: dict[str, str], log: Path, arguments: tuple[str, ...]) -> None:
    from pipeline.flows.__main__ import main

    with log.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv[1:] = arguments
    try:
        main()
    finally:
        atexit._run_exitfuncs()  # which send the last of the logs; multiprocessing leaves them out

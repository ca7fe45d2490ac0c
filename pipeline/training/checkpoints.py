"""Checkpoints of a training run. They lie outside DVC's outputs, so that a killed run continues after its last epoch."""

import fcntl
import os
from typing import Any

import torch

from pipeline.common import files
from pipeline.common.stage import StageError


class Checkpoints:
    """The work folder of one run, named by everything that decides its result (`dependencies.run_key`).

    Only one process may train in it at a time. The lock ends with the process, so a kill leaves none behind.
    TELUCODEC_FRESH=1 in the environment deletes the checkpoint of an earlier run.

    Raises:
        StageError: another process is training the same run.
    """

    def __init__(self, run_key: str):
        self.folder = files.work_folder(f"train/{run_key}")
        self._path = self.folder / "checkpoint.pt"
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(
                f"another process is training this run in {self.folder}; wait for it, or end it (ps aux | grep pipeline.train)"
            ) from None
        if os.environ.get("TELUCODEC_FRESH") == "1":
            self._path.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The state after the last finished epoch, on the CPU, or None."""
        if not self._path.exists():
            return None
        return torch.load(self._path, map_location="cpu", weights_only=False)

    def save(self, state: dict[str, Any]) -> None:
        with files.whole_file(self._path) as temporary:
            torch.save(state, temporary)

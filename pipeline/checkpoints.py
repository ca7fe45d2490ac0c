"""Checkpoints of a training run: kept outside DVC's outputs, so that a killed run goes on where its last epoch ended."""

import fcntl
import hashlib
import json
import os
from pathlib import Path

import torch

from pipeline import files
from pipeline.stage import StageError

FORMAT = 2  # raise when a checkpoint of older code must not be continued


class Checkpoints:
    """The work folder of one run, named by what decides its result: parameters, data and code.

    Only one process may train in it at a time; the lock goes with the process, so a kill leaves none behind.

    Raises:
        StageError: another process is training this very run.
    """

    def __init__(self, model: str, decides: dict, data: list[Path]):
        self.folder = files.work_folder(f"train/{_run_key(model, decides, data)}")
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

    def load(self) -> dict | None:
        """The state of the last finished epoch, on the CPU, or None."""
        if not self._path.exists():
            return None
        return torch.load(self._path, map_location="cpu", weights_only=False)

    def save(self, state: dict) -> None:
        with files.whole_file(self._path) as temporary:
            torch.save(state, temporary)


def _run_key(model: str, decides: dict, data: list[Path]) -> str:
    digest = hashlib.sha256(json.dumps([FORMAT, model, decides, torch.__version__], sort_keys=True).encode())
    here = Path(__file__).parent
    codec = here.parent / "codec"
    code = [*sorted((codec / model).glob("*.py")), codec / "exact.py", here / "train.py", here / f"{model}_task.py"]
    for path in data + code:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

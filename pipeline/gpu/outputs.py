"""The files that come back from the machine with the GPU. Each is written whole, and again after every epoch."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.common import files
from pipeline.training.task import Task

FIGURES, CHECKS, PROFILE, HISTORY = "figures.json", "checks.json", "profile.txt", "history.csv"
WEIGHTS = "model.safetensors", "config.json", "discriminator.safetensors"
TEMPORARY = ".weights"


class Outputs:
    """A folder for results, which may hold those of an earlier run: they are removed.

    `figures` becomes figures.json: the bundle's ids, the machine, seconds, and how far training has come.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.figures: dict[str, Any] = {}
        for name in (FIGURES, CHECKS, PROFILE, HISTORY, *WEIGHTS):
            (folder / name).unlink(missing_ok=True)

    def add(self, **figures: object) -> None:
        """Add figures, or replace those of the same name, and write the file."""
        self.figures |= figures
        files.write_json(self.folder / FIGURES, self.figures)

    def save(self, task: Task, history: Sequence[Mapping[str, float]], **figures: object) -> None:
        """Write weights, history and figures after an epoch. The checksums in the figures belong to these weights."""
        with files.whole_folder(self.folder / TEMPORARY) as temporary:
            task.save(temporary)
        checksums = {}
        for path in sorted((self.folder / TEMPORARY).iterdir()):
            checksums[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            path.replace(self.folder / path.name)
        (self.folder / TEMPORARY).rmdir()
        columns = dict.fromkeys(name for row in history for name in row)
        files.write_csv(self.folder / HISTORY, [dict(row) for row in history], list(columns))
        self.add(**figures, sha256=checksums)

"""The files that come back from the machine with the GPU. Each is written whole, and those of a model again after every epoch."""

import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.common import files
from pipeline.gpu import lanes
from pipeline.training.task import Task

FIGURES, CHECKS, PROFILE, HISTORY = "figures.json", "checks.json", "profile.txt", "history.csv"


class Outputs:
    """The figures of a run: the bundle's ids, the machine and seconds. They become figures.json.

    The folder may hold results of an earlier run: they are removed, but for its checks if the machine was `checked` before.
    """

    def __init__(self, folder: Path, checked: bool = False):
        self.folder = folder
        self.figures: dict[str, Any] = {}
        of_checks = () if checked else (CHECKS, PROFILE)
        for name in (FIGURES, *of_checks, *(archive(model) for model in lanes.MODELS)):
            (folder / name).unlink(missing_ok=True)

    def add(self, **figures: object) -> None:
        """Add figures, or replace those of the same name, and write the file."""
        self.figures |= figures
        files.write_json(self.folder / FIGURES, self.figures)


def archive(model: str) -> str:
    """The name of the file with the weights, history and figures of a model."""
    return f"{model}.zip"


def save(results: Path, task: Task[Any], history: Sequence[Mapping[str, float]], figures: Mapping[str, object]) -> None:
    """Write a model's file after an epoch."""
    columns = dict.fromkeys(name for row in history for name in row)
    packed = io.BytesIO()
    with (
        tempfile.TemporaryDirectory() as name,
        zipfile.ZipFile(packed, "w") as target,
    ):  # not compressed: weights hardly shrink
        folder = Path(name)
        task.save(folder)
        files.write_csv(folder / HISTORY, [dict(row) for row in history], list(columns))
        files.write_json(folder / FIGURES, figures)
        for path in sorted(folder.iterdir()):
            target.write(path, path.name)
    with files.whole_file(results / archive(task.name)) as path:
        path.write_bytes(packed.getvalue())

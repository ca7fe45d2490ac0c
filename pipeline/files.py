"""Where files lie and how they are written: whole or not at all."""

import contextlib
import csv
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from codec import audio_files

MANIFEST = Path("data/manifest.jsonl")
REJECTED = Path("data/rejected.md")
DATA_CARD = Path("data/card.md")
SHARDS = Path("data/shards")
MODELS = Path("data/models")
EVALUATION = Path("data/evaluation")
EXPORT = Path("export")
METRICS = Path("metrics")
PLOTS = Path("plots")
REPORT = Path("report")
GATES = Path("data/gates.md")


def repository() -> Path:
    """The real repository root, also inside `dvc exp run --temp`, which works in a copy below `.dvc/tmp`."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def work_folder(name: str) -> Path:
    """A folder for unfinished work that outlives a killed stage; DVC neither tracks nor clears it."""
    folder = repository() / ".work" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def resolve_root(root: str) -> Path:
    """The folder that `data.root` or `evaluate.root` means.

    A path that leaves the repository counts from the real repository root, so that it means the same in an experiment
    that runs elsewhere; a path inside it is looked for in the workspace first.
    """
    here = Path(root).expanduser()
    if here.is_absolute() or (not os.path.normpath(root).startswith("..") and here.exists()):
        return here
    return repository() / here


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """As `codec.audio_files.whole_file`; also makes the folder that `path` lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with audio_files.whole_file(path) as temporary:
        yield temporary


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it replaces `path` if the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON; floats are rounded to 6 significant digits so that a diff shows changes, not noise of printing."""
    write_text(path, json.dumps(_rounded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[dict], columns: Sequence[str]) -> None:
    """Write rows under `columns`; floats to 6 significant digits, an absent or undefined value as an empty cell."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, restval="")
        writer.writeheader()
        writer.writerows(
            {name: "" if value != value else value for name, value in _rounded(row).items()} for row in rows
        )


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value

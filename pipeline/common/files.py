"""Where files are and how they are written: completely or not at all."""

import contextlib
import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from telucodec.files import whole

MANIFEST = Path("data/manifest.jsonl")
REJECTED = Path("data/rejected.md")
NEAR_DUPLICATES = Path("data/near_duplicates.md")
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
    """The root of the real repository, also inside `dvc exp run --temp`, which works in a copy below `.dvc/tmp`."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def work_folder(name: str) -> Path:
    """A folder for unfinished work, which survives a killed stage; DVC neither tracks nor empties it."""
    folder = repository() / ".work" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def resolve_root(root: str) -> Path:
    """The folder that `data.root` or `evaluate.root` names.

    A path that leaves the repository is relative to the real repository, so that it means the same in an experiment that
    runs elsewhere; a path inside the repository is first looked up in the workspace.
    """
    here = Path(root).expanduser()
    if here.is_absolute() or (not os.path.normpath(root).startswith("..") and here.exists()):
        return here
    return repository() / here


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """As `telucodec.files.whole.whole_file`; also makes the folder that `path` lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole.whole_file(path) as temporary:
        yield temporary


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder next to `path`, which replaces `path` if the block ends without an exception."""
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
    """Write JSON; floats are rounded to 6 significant digits, so that a diff shows changes and not rounding noise."""
    write_text(path, json.dumps(_rounded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def one_line(name: str) -> str:
    """A name with what would begin a new line, or control a terminal, as in Python's strings."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: match[0].encode("unicode_escape").decode(), name)


def as_code(name: str) -> str:
    """A name in a line of Markdown."""
    line = one_line(name)
    return f"`` {line} ``" if "`" in line else f"`{line}`"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines. `splitlines` would also divide at U+2028 and U+0085, which names may hold."""
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows under `columns`; floats with 6 significant digits, missing or undefined values as empty cells."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, restval="")
        writer.writeheader()
        for row in rows:
            values = {name: _rounded(value) for name, value in row.items()}
            writer.writerow({name: "" if value != value else value for name, value in values.items()})


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value

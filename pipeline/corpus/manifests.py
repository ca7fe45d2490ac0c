"""Lists of recordings that come with a corpus: who speaks in which file.

TSV or CSV with a header, JSON lines of NeMo and lhotse (also compressed with gzip), and JSON with an object for each recording.
"""

import csv
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.common.stage import StageError

# Names of columns, the first that a row has counts.
SPEAKER = (
    "speaker_id_reassigned",  # RESPIN: found by listening, where `speaker_id` is an account that several people used
    "speaker_id",
    "speaker",
    "client_id",
    "spk_id",
    "spk",
    "speaker_name",
    "user_id",
)
PATH = (
    *("audio_filepath", "wav_path", "audio_path", "path", "file_name", "filename", "file"),
    *("audio", "wav", "clip", "recording_id", "id"),
)
NOTHING = {"", "na", "n/a", "none", "null", "unknown"}


def speakers(path: Path, columns: Iterable[str] = ()) -> dict[str, str | None]:
    """The speaker of each recording that a manifest names; None where it does not say.

    Args:
        columns: names of the columns of the path and of the speaker, for a table without a header.

    Raises:
        StageError: it cannot be read, or has no column of paths or of speakers, or a recording has two speakers.
    """
    found: dict[str, str | None] = {}
    keys: set[str] = set()
    for row in _rows(path, list(columns)):
        keys |= row.keys()
        name, speaker = _path(row), speaker_of(row)
        if name is None:
            continue
        if found.setdefault(name, speaker) != speaker:
            raise StageError(
                f"{path}: {name} has several speakers, {found[name]} and {speaker}; cut it into one file for each"
            )
    if not found or not any(found.values()):
        what = "path" if not found else "speaker"
        wanted = ", ".join(PATH if not found else SPEAKER)
        raise StageError(
            f"{path}: no column of the {what} ({', '.join(sorted(keys)) or 'nothing in it'}); name one of {wanted}"
        )
    return found


def speaker_of(row: dict[str, Any]) -> str | None:
    """The speaker that a row names, or the only one of its lhotse supervisions."""
    for name in SPEAKER:
        if row.get(name) is not None and str(row[name]).strip().lower() not in NOTHING:
            return str(row[name]).strip()
    several = {inner for part in row.get("supervisions") or () if (inner := speaker_of(part))}
    return "+".join(sorted(several)) or None


def _path(row: dict[str, Any]) -> str | None:
    recording = row.get("recording") or row
    for source in recording.get("sources") or ():
        return str(source["source"])
    return next((str(row[name]) for name in PATH if isinstance(row.get(name), str | int) and row[name] != ""), None)


def _rows(path: Path, columns: list[str]) -> Iterator[dict[str, Any]]:
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig") as file
        ):
            kind = Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()
            if kind in (".tsv", ".csv"):
                form: Any = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == ".tsv" else {}
                csv.field_size_limit(1 << 24)
                yield from csv.DictReader(file, fieldnames=columns or None, **form)
            elif kind in (".jsonl", ".json", ".ndjson"):
                yield from _objects(file.read())
            else:
                raise StageError(
                    f"{path}: not a manifest; it should end with .tsv, .csv, .json or .jsonl, also with .gz"
                )
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise StageError(f"{path}: cannot be read: {error}") from None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines, of a list, or of an object of objects; NeMo gives JSON lines the ending .json."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = [json.loads(line) for line in text.split("\n") if line.strip()]
    if isinstance(whole, dict):
        nested = {key: value for key, value in whole.items() if isinstance(value, dict)}
        whole = [{"id": key, **value} for key, value in nested.items()] if len(nested) == len(whole) else [whole]
    yield from (row for row in whole if isinstance(row, dict))


class Matcher:
    """Finds the file below a folder that an entry of a manifest means, whose path may be of another machine."""

    def __init__(self, paths: Iterable[str]):
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            name = PurePosixPath(path).name
            for key in {name, PurePosixPath(name).stem}:
                self._by_name[key].append(path)

    def find(self, entry: str) -> str | None:
        """The path with the same name, and of several the one with the most equal folders; None if there is none.

        Raises:
            LookupError: several fit equally well.
        """
        wanted = PurePosixPath(entry.replace("\\", "/")).parts[::-1]
        candidates = self._by_name.get(wanted[0] if wanted else "", [])
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        best = sorted(candidates, key=lambda path: _agreement(PurePosixPath(path).parts[::-1], wanted))[::-1]
        if _agreement(PurePosixPath(best[0]).parts[::-1], wanted) == _agreement(
            PurePosixPath(best[1]).parts[::-1], wanted
        ):
            raise LookupError(f"{entry} may be {best[0]} or {best[1]}")
        return best[0]


def _agreement(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many folders are the same, counted from the file, whose ending does not count."""
    equal = [a == b for a, b in zip(one[1:], other[1:], strict=False)]
    return equal.index(False) if False in equal else len(equal)

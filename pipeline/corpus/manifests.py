"""Lists of recordings that come with a corpus: who speaks in which file.

TSV or CSV with a header, JSON lines of NeMo and lhotse (also compressed with gzip), and JSON with an object for each recording.
"""

import csv
import gzip
import json
import unicodedata
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
OFFSET = "offset", "start"  # of NeMo and lhotse: where in the recording an utterance begins
NOTHING = {"", "na", "n/a", "nan", "none", "null", "unknown"}


def speakers(path: Path, columns: Iterable[str] = ()) -> dict[str, str | None]:
    """The speaker of each recording that a manifest names; None where it does not say.

    Args:
        columns: names of the columns of the path and of the speaker, for a table without a header.

    Raises:
        StageError: it cannot be read, or has no column of paths or of speakers, or a recording has two speakers.
    """
    found: dict[str, str | None] = {}
    keys: set[str] = set()
    parts = 0
    for row in _rows(path, list(columns)):
        keys |= row.keys()
        parts += any(row.get(name) for name in OFFSET)
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
    if parts:
        print(f"warning: {path} names parts of recordings ({parts} rows have an offset); the whole recordings are used")
    return found


def speaker_of(row: dict[str, Any]) -> str | None:
    """The speaker that a row names, or the only one of its lhotse supervisions."""
    for name in SPEAKER:
        value = row.get(name)
        if isinstance(value, str | int | float) and str(value).strip().lower() not in NOTHING:
            return str(value).strip().encode("utf-8", "backslashreplace").decode()
    parts = [part for part in _list(row.get("supervisions")) if isinstance(part, dict)]
    several = {inner for part in parts if (inner := speaker_of(part))}
    return "+".join(sorted(several)) or None


def _path(row: dict[str, Any]) -> str | None:
    recording = row.get("recording")
    recording = recording if isinstance(recording, dict) else row
    for source in _list(recording.get("sources")):
        if isinstance(source, dict) and isinstance(source.get("source"), str):
            return source["source"]
    return next((str(row[name]) for name in PATH if isinstance(row.get(name), str | int) and row[name] != ""), None)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
                yield from _table(path, csv.DictReader(file, fieldnames=columns or None, **form))
            elif kind in (".jsonl", ".json", ".ndjson"):
                yield from _objects(path, file.read())
            else:
                raise StageError(
                    f"{path}: not a manifest; it should end with .tsv, .csv, .json or .jsonl, also with .gz"
                )
    except UnicodeDecodeError as error:
        raise StageError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
    except (OSError, EOFError, csv.Error, RecursionError) as error:
        raise StageError(f"{path}: cannot be read: {error}") from None


def _table(path: Path, reader: "csv.DictReader[str]") -> Iterator[dict[str, Any]]:
    for row in reader:
        if None in row:  # what has no column
            raise StageError(
                f"{path}: line {reader.line_num} has more columns than the header; in .tsv quotation marks are text like "
                "any other, so that no cell can hold a tab or a new line: write such cells into a .csv"
            )
        yield row


def _objects(path: Path, text: str) -> Iterator[dict[str, Any]]:
    """The objects of JSON lines, of a list, or of an object of objects; NeMo gives JSON lines the ending .json."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        whole = []
        for number, line in enumerate(text.split("\n"), 1):
            try:
                whole += [json.loads(line)] if line.strip() else []
            except json.JSONDecodeError as error:
                raise StageError(f"{path}: line {number} is not JSON: {error}") from None
    if isinstance(whole, dict):
        nested = {key: value for key, value in whole.items() if isinstance(value, dict)}
        whole = [{"id": key, **value} for key, value in nested.items()] if len(nested) == len(whole) else [whole]
    yield from (row for row in whole if isinstance(row, dict))


class Matcher:
    """Finds the file below a folder that an entry of a manifest means, whose path may be of another machine."""

    def __init__(self, paths: Iterable[str]):
        self._whole: dict[str, str] = {}
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_folder: dict[tuple[str, ...], dict[str, list[str]]] = {}
        for path in paths:
            self._whole[_composed(path)] = path
            name = _composed(PurePosixPath(path).name)
            for key in {name, PurePosixPath(name).stem}:
                self._by_name[key].append(path)

    def find(self, entry: str) -> str | None:
        """The path with the same name, and of several the one with the most equal folders; None if there is none.

        Raises:
            LookupError: several fit equally well.
        """
        wanted = _parts(entry)
        ends = ("/".join(wanted[count::-1]) for count in reversed(range(len(wanted))))
        if whole := next((end for end in ends if end in self._whole), None):
            return self._whole[whole]
        candidates = self._by_name.get(wanted[0] if wanted else "", [])
        for depth in range(1, len(wanted)):
            if len(candidates) < 2:
                break
            nearer = self._divided(candidates, wanted[:depth]).get(wanted[depth])
            if nearer is None:
                break
            candidates = nearer
        if len(candidates) > 1:
            raise LookupError(f"{entry} may be {candidates[0]} or {candidates[1]}")
        return candidates[0] if candidates else None

    def _divided(self, paths: list[str], end: tuple[str, ...]) -> dict[str, list[str]]:
        """Paths with the same end, by the folder before it; kept, as thousands of entries may have that end."""
        if end not in self._by_folder:
            groups: dict[str, list[str]] = defaultdict(list)
            for path in paths:
                parts = _parts(path)
                groups[parts[len(end)] if len(end) < len(parts) else ""].append(path)
            self._by_folder[end] = groups
        return self._by_folder[end]


def agreement(path: str, entry: str) -> int:
    """How many folders of a path and of an entry are the same, counted from the file, whose ending does not count."""
    equal = [a == b for a, b in zip(_parts(path)[1:], _parts(entry)[1:], strict=False)]
    return equal.index(False) if False in equal else len(equal)


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(_composed(path.replace("\\", "/"))).parts[::-1]


def _composed(name: str) -> str:
    """A name as most programs write it: macOS takes some letters apart, such as the Telugu vowel sign AI."""
    return unicodedata.normalize("NFC", name)

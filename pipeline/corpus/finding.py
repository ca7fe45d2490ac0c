"""The recordings below a folder, also those inside parquet files and tars, and who speaks in each."""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.common import files
from pipeline.common.sections import Data
from pipeline.common.stage import StageError
from pipeline.corpus import manifests
from pipeline.corpus.layouts import LAYOUTS, Layout, speaker
from telucodec.audio import folders, packs
from telucodec.errors import AudioError


@dataclass(frozen=True)
class Item:
    """A recording: its path below the root, which `FILE#KEY` is inside another file, and its speaker."""

    path: str
    file: Path
    key: str | None
    speaker: str


@dataclass
class Corpus:
    """The recordings below one root."""

    name: str  # "data" or "evaluation"
    root: Path
    items: list[Item]
    ignored: int  # number of other files


def find(name: str, root: str, data: Data) -> Corpus:
    """All recordings below a folder, except hidden ones; where a manifest names the speakers, those that it names.

    Raises:
        StageError: the folder does not exist, cannot be listed, or holds no recording; or a manifest cannot be used.
    """
    key = "data.root" if name == "data" else "evaluate.root"
    folder = files.resolve_root(root)
    if not os.path.isdir(folder):
        raise StageError(f"{key} is {root!r}, but there is no folder {folder}; set it with -S {key}=DIR")
    try:
        entries = list(folders.walk(folder))
    except OSError as error:
        remedy = f"make it readable or move it out of {key}"
        raise StageError(f"cannot list {error.filename}: {error.strerror}; {remedy}") from None
    layout = LAYOUTS[data.corpus] if data.corpus else Layout()
    pattern = layout.pattern or data.speaker_pattern
    in_order = sorted(
        (file.relative_to(folder).as_posix(), file) for file in entries
    )  # and packs in theirs, to read once
    items = [item for relative, file in in_order for item in _items(relative, file, layout, pattern)]
    ignored = len(entries) - len({item.file for item in items})
    archives = packs.unread(entries)
    if not items:
        suffixes = " ".join(sorted({*folders.SUFFIXES, packs.PARQUET, packs.TAR}))
        more = f". {archives}" if archives else ""
        raise StageError(
            f"{key} is {root!r}: no recording in {folder} ({ignored} other files). Searched for {suffixes}{more}"
        )
    if archives:
        print(f"warning: {archives}")
    said = _said(folder, entries, data, layout) if name == "data" else {}
    if said:
        named = _named(items, said)
        items, ignored = named, ignored + len(items) - len(named)
    return Corpus(name, folder, items, ignored)


def _items(relative: str, file: Path, layout: Layout, pattern: str) -> Iterator[Item]:
    columns = [layout.column] if layout.column else manifests.SPEAKER
    try:
        for key, name, row in packs.members(file, columns):
            path, name = (relative, relative) if key is None else (f"{relative}#{key}", name)
            said = {"speaker": row[layout.column]} if layout.column and layout.column in row else row
            said = _partitions(relative) | said if key is not None else said
            yield Item(path, file, key, manifests.speaker_of(said) or speaker(_shown(name), pattern))
    except AudioError as error:
        raise StageError(str(error)) from None


def _partitions(path: str) -> dict[str, str]:
    """The columns that the folders of a partitioned dataset name (`speaker_id=17/part-0.parquet`)."""
    return dict(part.split("=", 1) for part in path.split("/")[:-1] if "=" in part)


def _said(root: Path, entries: list[Path], data: Data, layout: Layout) -> dict[str, str | None]:
    """The speaker of each entry of `data.manifest`, or of the manifests of the corpus."""
    if data.manifest is not None:
        place = files.resolve_root(data.manifest)
        path = place if place.exists() else root / data.manifest
        if not path.is_file():
            raise StageError(f"data.manifest is {data.manifest!r}, but there is no file {place} or {path}")
        return manifests.speakers(path)
    found: dict[str, str | None] = {}
    lists = sorted(path for path in entries if any(map(path.match, layout.manifests)))
    for path in lists:
        found |= manifests.speakers(path, layout.columns)
    if layout.manifests and not layout.pattern and not lists and not any(map(packs.is_pack, entries)):
        wanted = " or ".join(layout.manifests)
        raise StageError(
            f"data.corpus is {data.corpus!r}, whose {wanted} names the speakers, but {root} has none; set data.root"
        )
    return found


def _named(items: list[Item], said: dict[str, str | None]) -> list[Item]:
    """The items that a manifest names, with its speakers.

    Raises:
        StageError: it names none of them, or one that may be several.
    """
    by_path = {item.path: item for item in items}
    matcher, missing = manifests.Matcher(by_path), []
    entries: dict[str, str] = {}  # by path
    for entry, who in said.items():
        try:
            path = matcher.find(entry)
        except LookupError as error:
            raise StageError(f"the manifest is not clear: {error}; write longer paths into it") from None
        if path is None:
            missing.append(entry)
            continue
        other = entries.setdefault(path, entry)
        better = manifests.agreement(path, entry) - manifests.agreement(path, other)
        if better == 0 and said[other] != who:
            raise StageError(
                f"the manifest names {path} twice, as {other!r} of {said[other]} and as {entry!r} of {who}; remove one"
            )
        if better:  # the other is of a recording that is not there
            entries[path] = entry if better > 0 else other
            missing.append(other if better > 0 else entry)
    named = {path: dataclasses.replace(by_path[path], speaker=said[entry] or path) for path, entry in entries.items()}
    if not named:
        example, first = next(iter(said)), items[0].path
        raise StageError(f"no recording is named by the manifest: it has {example!r}, and the folder {first!r}")
    if missing:
        print(
            f"warning: the manifest names {len(missing)} of {len(said)} recordings that are not there, such as {missing[0]!r}"
        )
    if unknown := [path for path, item in named.items() if item.speaker == path]:
        print(
            f"warning: the manifest names no speaker for {len(unknown)} of {len(named)} recordings, such as {unknown[0]!r}; "
            "each counts as a voice of its own, and may be in training and test at once"
        )
    return [named[path] for path in sorted(named)]


def _shown(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")

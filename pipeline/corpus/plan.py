"""Which recording becomes part of which split, shard and clips."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common import files
from pipeline.common.sections import Params, Preprocess
from pipeline.common.stage import StageError

SPLITS = "train", "validation", "test"
SHARD_SECONDS = 900  # a recording is never divided, so a shard may be longer by one


@dataclass(frozen=True)
class Source:
    """A recording and its clips."""

    row: dict[str, Any]  # of the manifest
    path: Path  # of the file that it lies in
    length: int  # samples after resampling
    starts: tuple[int, ...]  # first sample of each clip

    @property
    def ends(self) -> tuple[int, ...]:
        return *self.starts[1:], self.length


@dataclass(frozen=True)
class Shard:
    """The unit of work: a file with some recordings of one split."""

    split: str
    name: str
    sources: tuple[Source, ...]


def make_plan(params: Params) -> list[Shard]:
    """Assign every accepted recording of the manifest to a split, a shard and clips.

    Raises:
        StageError: a split would be empty.
    """
    settings = params.preprocess
    roots = {"data": files.resolve_root(params.data.root)}
    if params.evaluate.root is not None:
        roots["evaluation"] = files.resolve_root(params.evaluate.root)
    members: dict[str, list[Source]] = {split: [] for split in SPLITS}
    for row in files.read_lines(files.MANIFEST):
        if row["status"] != "ok":
            continue
        split = "test" if row["set"] == "evaluation" else split_of(_unit(row, settings), settings)
        if split == "test" and row["set"] == "data" and "evaluation" in roots:
            continue  # these speakers are never trained on, so that results on both test sets can be compared
        members[split].append(_source(row, roots[row["set"]], split, settings))
    _refuse_empty(members, settings)
    return [shard for split in SPLITS for shard in _into_shards(split, members[split], settings.sample_rate)]


def _unit(row: dict[str, Any], settings: Preprocess) -> str:
    return row["speaker"] if settings.split_by == "speaker" else row["path"]


def split_of(unit: str, settings: Preprocess) -> str:
    """The split of a speaker or recording. It depends on nothing else, so new recordings never move an old one."""
    digest = hashlib.sha256(f"{settings.split_seed}:{unit}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < settings.test_fraction:
        return "test"
    return "validation" if place < settings.test_fraction + settings.validation_fraction else "train"


def _source(row: dict[str, Any], root: Path, split: str, settings: Preprocess) -> Source:
    length = -(-row["frames"] * settings.sample_rate // row["rate"])
    longest = round(settings.clip_seconds * settings.sample_rate)
    pieces = 1 if split == "test" else -(-length // longest)
    starts = tuple(piece * length // pieces for piece in range(pieces))
    key = row.get("key")
    path = row["path"] if key is None else row["path"].removesuffix(f"#{key}")
    return Source(row, root.absolute() / path, length, starts)


def _refuse_empty(members: dict[str, list[Source]], settings: Preprocess) -> None:
    if all(members.values()):
        return
    counts = ", ".join(f"{split}: {len(sources)}" for split, sources in members.items())
    units = {_unit(source.row, settings) for sources in members.values() for source in sources}
    raise StageError(
        f"a split is empty (recordings in {counts}; {len(units)} {settings.split_by}s in total). Split by recording with "
        "-S preprocess.split_by=recording, try another -S preprocess.split_seed=N, change "
        "preprocess.validation_fraction and test_fraction, or name a test folder with -S evaluate.root=DIR"
    )


def _into_shards(split: str, sources: list[Source], rate: int) -> list[Shard]:
    groups: list[list[Source]] = [[]]
    filled = 0
    for source in sources:
        if groups[-1] and filled + source.length > SHARD_SECONDS * rate:
            groups.append([])
            filled = 0
        groups[-1].append(source)
        filled += source.length
    return [Shard(split, f"{number:05d}.pcm", tuple(group)) for number, group in enumerate(groups)]

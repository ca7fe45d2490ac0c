"""Recordings that stand in different splits and sound the same, as when a corpus holds an MP3 copy or a shortened one.

A model that has heard such a recording in training is tested on what it knows. `discover` rejects recordings that are equal to
the sample; these are not. Landmarks lie beside the shards while `preprocess` works; those of the held-out splits are held in
memory, a part at a time, and those of all shards pass by.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.common import files
from pipeline.corpus import fingerprints

ORDER = {"train": 0, "validation": 1, "test": 2}
HELD = 4_000_000  # landmarks that are held in memory, about 40 hours, in 100 MB
COMMON = 1000  # landmarks that look the same; more of them say nothing
LEAST = 3  # landmarks that two recordings share at one offset before their spectra are compared
GRID = 4  # frames that count as one offset


@dataclass(frozen=True)
class Stored:
    """A recording in a shard."""

    split: str
    path: str  # in the manifest
    shard: Path
    start: int  # its first sample
    length: int

    def samples(self) -> np.ndarray:
        return np.memmap(self.shard, "<i2", "r")[self.start : self.start + self.length]


class Pair(NamedTuple):
    heard: Stored  # in training, or in validation
    held_out: Stored


def write_landmarks(shard: Path, lengths: Sequence[int]) -> None:
    """Write the landmarks of a finished shard beside it: numbers of recordings, frames, and looks, uint32 [3, landmarks].

    Args:
        lengths: samples of its recordings.
    """
    samples, start = np.memmap(shard, "<i2", "r"), 0
    parts = [np.zeros((3, 0), np.uint32)]
    for number, length in enumerate(lengths):
        frames, looks = fingerprints.landmarks(samples[start : start + length])
        parts.append(np.stack([np.full_like(frames, number), frames, looks]))
        start += length
    with files.whole_file(_place(shard)) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate(parts, axis=1))


def _place(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.landmarks.npy")


def find(shards: Sequence[Sequence[Stored]]) -> list[Pair]:
    """Recordings that sound the same as one of an earlier split, each with the first of these.

    The landmarks of the shards are written.
    """
    pairs: dict[tuple[str, str], Pair] = {}
    for held in _parts([shard for shard in shards if shard[0].split != "train"]):
        index = _Index(held)
        for shard in shards:
            for pair, frame, offset in index.candidates(shard):
                name = pair.held_out.split, pair.held_out.path
                if name in pairs:
                    continue
                if fingerprints.alike(pair.heard.samples(), pair.held_out.samples(), frame, offset):
                    pairs[name] = pair
    return [pairs[name] for name in sorted(pairs)]


def _parts(shards: Sequence[Sequence[Stored]]) -> Iterator[list[Sequence[Stored]]]:
    """Shards in groups whose landmarks fit into memory."""
    group: list[Sequence[Stored]] = []
    count = 0
    for shard in shards:
        size = np.load(_place(shard[0].shard), mmap_mode="r").shape[1]
        if group and count + size > HELD:
            yield group
            group, count = [], 0
        group.append(shard)
        count += size
    if group:
        yield group


class _Index:
    """The landmarks of held-out shards, by what they look like."""

    def __init__(self, shards: Sequence[Sequence[Stored]]):
        self._recordings = [recording for shard in shards for recording in shard]
        self._order = np.array([ORDER[recording.split] for recording in self._recordings])
        parts, first = [], 0
        for shard in shards:
            part = np.load(_place(shard[0].shard))
            part[0] += first
            parts.append(part)
            first += len(shard)
        numbers, frames, looks = np.concatenate(parts, axis=1)
        by_look = np.argsort(looks, kind="stable")
        self._numbers, self._frames, self._looks = numbers[by_look], frames[by_look], looks[by_look]

    def candidates(self, shard: Sequence[Stored]) -> Iterator[tuple[Pair, int, int]]:
        """Pairs of a recording of this shard and one held out from it that share landmarks; a frame in the first, and the offset
        of the second.
        """
        numbers, frames, looks = np.load(_place(shard[0].shard))
        begins, ends = (np.searchsorted(self._looks, looks, side) for side in ("left", "right"))
        counts = np.where(ends - begins <= COMMON, ends - begins, 0)
        mine = np.repeat(np.arange(len(looks)), counts)
        theirs = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts - begins, counts)
        later = self._order[self._numbers[theirs]] > ORDER[shard[0].split]
        mine, theirs = mine[later], theirs[later]
        offsets = self._frames[theirs].astype(np.int64) - frames[mine]
        pairs = numbers[mine].astype(np.int64) * len(self._recordings) + self._numbers[theirs]
        best: dict[int, tuple[int, int]] = {}  # by pair, the number of landmarks and one of them
        for shift in (0, GRID // 2):  # so that no border between offsets divides them
            keys = (pairs << 24) + (offsets + shift) // GRID + (1 << 23)
            _, places, shared = np.unique(keys, return_index=True, return_counts=True)
            for place, count in zip(places[shared >= LEAST], shared[shared >= LEAST], strict=True):
                best[pairs[place]] = max(best.get(pairs[place], (0, 0)), (count, place))
        for pair, (_, place) in best.items():
            recording, other = divmod(pair, len(self._recordings))
            yield Pair(shard[recording], self._recordings[other]), int(frames[mine[place]]), int(offsets[place])


def report(pairs: Sequence[Pair]) -> str:
    """The pairs as Markdown."""
    lines = [f"- `{other.path}` ({other.split}) sounds like `{one.path}` ({one.split})" for one, other in pairs]
    return "\n".join(["# Recordings that sound like one of another split", "", *(lines or ["None."]), ""])


def listed() -> list[str]:
    """The pairs in `files.NEAR_DUPLICATES`, if it is there."""
    path = files.NEAR_DUPLICATES
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


def doubt(lines: Sequence[str]) -> str | None:
    """A sentence on the listed pairs, if there are any."""
    if not lines:
        return None
    remedy = f"remove one of the two, or give both one speaker with data.manifest; {files.NEAR_DUPLICATES} lists them"
    return f"{lines[0]}, and so do {len(lines) - 1} other pairs; {remedy}" if lines[1:] else f"{lines[0]}; {remedy}"

"""Recordings that stand in different splits and sound the same, as when a corpus holds an MP3 copy or a shortened one.

A model that has heard such a recording in training is tested on what it knows. `discover` rejects recordings that are equal to
the sample; these are not. Landmarks lie beside the shards while `preprocess` works; those of the held-out splits are held in
memory, a part at a time, and those of all shards pass by.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.common import files
from pipeline.corpus import fingerprints

ORDER = {"train": 0, "validation": 1, "test": 2}
HELD = 4_000_000  # landmarks that are held in memory, about 24 hours, in 100 MB
COMMON = 200  # landmarks that look the same; more of them say nothing
AT_ONCE = 20_000  # landmarks that are looked up at once
LEAST = 5  # landmarks that two recordings share at one offset before their spectra are compared
GRID = 3  # frames that count as one offset


@dataclass(frozen=True)
class Stored:
    """A recording in a shard."""

    split: str
    path: str  # in the manifest
    shard: Path
    start: int  # its first sample
    length: int

    def samples(self) -> np.ndarray:
        return _samples(self.shard)[self.start : self.start + self.length]


class Pair(NamedTuple):
    heard: Stored  # in training, or in validation
    held_out: Stored


class Candidate(NamedTuple):
    """A pair that shares landmarks."""

    pair: Pair
    frame: int  # of a landmark in the first
    offset: int  # frames by which it is later in the second


def write_landmarks(shard: Path, lengths: Sequence[int]) -> None:
    """Write the landmarks of a finished shard beside it: numbers of recordings, frames, and looks, uint32 [3, landmarks].

    Args:
        lengths: samples of its recordings.
    """
    marks = fingerprints.landmarks(_samples(shard), lengths)
    with files.whole_file(_place(shard)) as temporary, temporary.open("wb") as file:
        np.save(file, marks)


def _samples(shard: Path) -> np.ndarray:
    return np.memmap(shard, "<i2", "r")


def _place(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.landmarks.npy")


def find(shards: Sequence[Sequence[Stored]], apply: Callable[..., Iterable[list[Candidate]]] = map) -> list[Pair]:
    """Recordings that sound the same as one of an earlier split, each with the first of these.

    The landmarks of the shards are written.

    Args:
        apply: a function to all shards; that of a pool uses its processes.
    """
    pairs: dict[Stored, Pair] = {}
    for held in _parts([shard for shard in shards if shard[0].split != "train"]):
        index = _write_index(held)
        recordings = [recording for shard in held for recording in shard]
        for candidates in apply(functools.partial(_candidates, recordings, index), shards):
            for pair, frame, offset in candidates:
                is_new = pair.held_out not in pairs  # where many are the same, most need not be compared
                if is_new and fingerprints.alike(pair.heard.samples(), pair.held_out.samples(), frame, offset):
                    pairs[pair.held_out] = pair
    return sorted(pairs.values(), key=lambda pair: (pair.held_out.split, pair.held_out.path))


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


def _write_index(shards: Sequence[Sequence[Stored]]) -> Path:
    """Sort the landmarks of held-out shards by what they look like, into a file that all processes map into their memory."""
    parts, first = [], 0
    for shard in shards:
        part = np.load(_place(shard[0].shard))
        part[0] += first
        parts.append(part)
        first += len(shard)
    numbers, frames, looks = np.concatenate(parts, axis=1)
    by_look = np.argsort(looks, kind="stable")
    begins = np.searchsorted(looks[by_look], np.arange(fingerprints.LOOKS + 1)).astype(np.uint32)
    path = shards[0][0].shard.with_name("held_out.npy")
    with files.whole_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate([begins, numbers[by_look], frames[by_look]]))
    return path


def _candidates(held: Sequence[Stored], index: Path, shard: Sequence[Stored]) -> list[Candidate]:
    return list(_Index(held, index).candidates(shard))


class _Index:
    """The landmarks of held-out recordings, by what they look like."""

    def __init__(self, held: Sequence[Stored], path: Path):
        self._recordings = held
        self._order = np.array([ORDER[recording.split] for recording in held])
        content = np.asarray(np.load(path, mmap_mode="r"))
        self._begins, marks = content[: fingerprints.LOOKS + 1], content[fingerprints.LOOKS + 1 :]
        self._numbers, self._frames = marks.reshape(2, -1)

    def candidates(self, shard: Sequence[Stored]) -> Iterator[Candidate]:
        """Pairs of a recording of this shard and one held out from it that share landmarks."""
        marks = np.load(_place(shard[0].shard), mmap_mode="r")
        for start in range(0, marks.shape[1], AT_ONCE):
            yield from self._candidates(shard, *marks[:, start : start + AT_ONCE])

    def _candidates(
        self, shard: Sequence[Stored], numbers: np.ndarray, frames: np.ndarray, looks: np.ndarray
    ) -> Iterator[Candidate]:
        begins, ends = self._begins[looks].astype(np.int64), self._begins[looks + 1]
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
            for key, count in _frequent(keys):
                place = int(np.argmax(keys == key))
                best[pairs[place]] = max(best.get(pairs[place], (0, 0)), (count, place))
        for pair, (_, place) in best.items():
            recording, other = divmod(pair, len(self._recordings))
            yield Candidate(
                Pair(shard[recording], self._recordings[other]), int(frames[mine[place]]), int(offsets[place])
            )


def _frequent(keys: np.ndarray) -> Iterator[tuple[int, int]]:
    """Those that occur at least `LEAST` times, and how often."""
    in_order = np.sort(keys)
    ends = in_order[LEAST - 1 :]
    found, counts = np.unique(ends[ends == in_order[: len(ends)]], return_counts=True)
    yield from zip(found.tolist(), (counts + LEAST - 1).tolist(), strict=True)


def report(pairs: Sequence[Pair]) -> str:
    """The pairs as Markdown."""
    lines = [
        f"- {files.as_code(other.path)} ({other.split}) sounds like {files.as_code(one.path)} ({one.split})"
        for one, other in pairs
    ]
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

"""Batches of training crops, with what other processes have found out about them in advance."""

import collections
import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.common.processes import workers
from pipeline.common.shards import Shards
from pipeline.training import crops
from pipeline.training.crops import Places
from telucodec.networks import distributed

AHEAD = 6  # batches
PORTION = 4  # crops that a process analyses at a time
SPARED = 2  # cores for the training itself

Found = tuple[np.ndarray, ...]
Analyse = Callable[[np.ndarray], Found]  # crops [count, samples] to arrays [count, ...]


class Batch(NamedTuple):
    """What a step trains on."""

    audio: Tensor  # [batch, samples]
    found: tuple[Tensor, ...] | None  # of the task's `ahead`


class Batches:
    """Random crops of a split. Without a GPU, or with few cores, nothing is computed in advance; the batches are the same.

    Args:
        random: the source of the draws.
        samples: length of a crop.
        gain_db: range of the level of a crop.
        device: where batches go.
    """

    def __init__(
        self, shards: Shards, random: np.random.Generator, samples: int, gain_db: list[float], device: torch.device
    ):
        self.shards, self.random, self.samples = shards, random, samples
        self._gain_db, self._device, self._read = gain_db, device, crops.reader(shards, device)
        cores = len(os.sched_getaffinity(0)) // distributed.ranks() - SPARED
        self._processes = 0 if device.type == "cpu" else max(cores, 0)

    def crops(self, count: int) -> Tensor:
        """The next crops [count, samples]."""
        return self._read(self._draw(count), self.samples)

    def take(self, steps: int, count: int, analyse: Analyse | None, split: bool = False) -> Iterator[Batch]:
        """The next batches of so many crops.

        Args:
            analyse: makes `found`, also in other processes; None: there is nothing to find.
            split: only this rank's share of each batch.
        """
        drawn = (self._draw(count) for _ in range(steps))
        places = (Places(*map(distributed.share, one)) if split else one for one in drawn)
        if analyse is None:
            yield from (Batch(self._read(one, self.samples), None) for one in places)
            return
        waiting: collections.deque[tuple[Places, Callable[[], Found]]] = collections.deque()
        for one in places:
            waiting.append((one, self._begun(one, analyse)))
            if len(waiting) > AHEAD:
                yield self._finished(*waiting.popleft())
        while waiting:
            yield self._finished(*waiting.popleft())

    def _draw(self, count: int) -> Places:
        return crops.draw(self.shards, self.random, count, self.samples, self._gain_db)

    def _begun(self, places: Places, analyse: Analyse) -> Callable[[], Found]:
        """Start the analysis of crops; the function that is returned waits for its end."""
        if not self._processes:
            return lambda: analyse(crops.cut(self.shards, places, self.samples))
        pool, folder = _pool(self._processes), self.shards.folder.resolve()
        portions = (
            Places(*(part[first : first + PORTION] for part in places))
            for first in range(0, len(places.clips), PORTION)
        )
        futures = [pool.submit(_analysed, folder, portion, self.samples, analyse) for portion in portions]
        return functools.partial(_joined, futures)

    def _finished(self, places: Places, finish: Callable[[], Found]) -> Batch:
        found = (torch.from_numpy(part) for part in finish())
        if self._device.type == "cuda":
            found = (part.pin_memory().to(self._device, non_blocking=True) for part in found)
        return Batch(self._read(places, self.samples), tuple(found))


def _joined(futures: "list[Future[Found]]") -> Found:
    found = [future.result() for future in futures]
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


def _analysed(folder: Path, places: Places, samples: int, analyse: Analyse) -> Found:
    return analyse(crops.cut(_shards(folder), places, samples))


@functools.cache
def _shards(folder: Path) -> Shards:
    return Shards(folder)


@functools.cache
def _pool(processes: int) -> ProcessPoolExecutor:
    return workers(processes)

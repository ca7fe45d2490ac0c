"""Batches of training crops."""

import math

import numpy as np
import torch
from torch import Tensor

from pipeline.common.shards import Shards
from pipeline.training import crops
from pipeline.training.crops import Places
from telucodec.networks import distributed


class Batches:
    """Random crops of a split.

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
        self._gain_db, self._read = gain_db, crops.reader(shards, device)

    def crops(self, count: int) -> Tensor:
        """The next crops [count, samples]."""
        return self._read(self._draw(count), self.samples)

    def enough(self, count: float) -> int:
        """So many crops, or as many as the split would divide into, if these are fewer."""
        return math.ceil(min(count, self.shards.length / self.samples))

    def share(self, count: int) -> Tensor:
        """Of the next `count` crops those of this rank, [count / ranks, samples]."""
        return self._read(Places(*map(distributed.share, self._draw(count))), self.samples)

    def _draw(self, count: int) -> Places:
        return crops.draw(self.shards, self.random, count, self.samples, self._gain_db)

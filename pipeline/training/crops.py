"""Where training crops come from: memory-mapped shards, or a copy of them in the memory of a GPU."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.common.shards import Shards

RESIDENT_BYTES = 8 * 2**30  # larger training splits stay on the disk: 70 hours of speech


class Places(NamedTuple):
    """Which crops of a split, and how loud."""

    clips: np.ndarray  # [count], their numbers
    starts: np.ndarray  # [count], the first samples of the crops in them
    gains: np.ndarray  # [count], factors


Reader = Callable[[Places, int], Tensor]  # returns crops [count, samples], float32, on the device


def draw(shards: Shards, random: np.random.Generator, count: int, samples: int, gain_db: list[float]) -> Places:
    """Random crops of so many samples at random levels, in decibels from the first to the second of `gain_db`."""
    clips, starts = shards.places(random, count, samples)
    return Places(clips, starts, 10 ** (random.uniform(gain_db[0], gain_db[1], count) / 20))


def cut(shards: Shards, places: Places, samples: int) -> np.ndarray:
    """Crops [count, samples], float32. A clip shorter than a crop is padded with zeros."""
    audio = shards.cut(places.clips, places.starts, samples)
    return (audio * places.gains[:, None]).astype(np.float32)


def reader(shards: Shards, device: torch.device) -> Reader:
    """The fastest source of crops for a device. All sources give the same samples to the bit."""
    if device.type == "cuda" and shards.bytes <= RESIDENT_BYTES:
        return ResidentCrops(shards, device)
    return lambda places, samples: torch.from_numpy(cut(shards, places, samples)).to(device)


class ResidentCrops:
    """A split in the memory of a device, from which it cuts crops by itself."""

    def __init__(self, shards: Shards, device: torch.device):
        self._device = device
        self._audio = torch.from_numpy(np.concatenate([shards.samples(number) for number in range(len(shards))]))
        self._audio = self._audio.to(device)
        self._lengths = np.array([clip["length"] for clip in shards.clips])
        self._offsets = np.cumsum(self._lengths) - self._lengths
        self._factors = np.array(shards.factors)

    def __call__(self, places: Places, samples: int) -> Tensor:
        """As `cut`, but a tensor on the device."""
        clips, starts, gains = places
        parts = self._offsets[clips] + starts, self._lengths[clips] - starts, self._factors[clips], gains
        first, length, factor, gain = (torch.from_numpy(part).to(self._device)[:, None] for part in parts)
        column = torch.arange(samples, device=self._device)
        audio = self._audio[(first + column).clamp(max=len(self._audio) - 1)]
        # Products in float64, each rounded, as NumPy computes them.
        return (torch.where(column < length, audio.double() * factor, 0).float() * gain).float()

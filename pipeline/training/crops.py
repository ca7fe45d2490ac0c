"""Where training crops come from: memory-mapped shards, or a copy of them in the memory of a GPU."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pipeline.common.shards import Shards

RESIDENT_BYTES = 8 * 2**30  # larger training splits stay on the disk: 70 hours of speech

Reader = Callable[[np.random.Generator, int, int], Tensor]  # as `Shards.crops`, but a tensor on the device


def reader(shards: Shards, device: torch.device) -> Reader:
    """The fastest source of crops for a device. All sources draw the same numbers and give the same samples to the bit."""
    if device.type == "cuda" and shards.bytes <= RESIDENT_BYTES:
        return ResidentCrops(shards, device)
    return lambda random, count, samples: torch.from_numpy(shards.crops(random, count, samples)).to(device)


class ResidentCrops:
    """A split in the memory of a device, from which it cuts crops by itself: the processor only draws their places."""

    def __init__(self, shards: Shards, device: torch.device):
        self._shards, self._device = shards, device
        self._audio = torch.from_numpy(np.concatenate([shards.samples(number) for number in range(len(shards))]))
        self._audio = self._audio.to(device)
        self._lengths = np.array([clip["length"] for clip in shards.clips])
        self._offsets = np.cumsum(self._lengths) - self._lengths
        self._factors = np.array(shards.factors)

    def __call__(self, random: np.random.Generator, count: int, samples: int) -> Tensor:
        """As `Shards.crops`: crops [count, samples], float32."""
        clips, starts = self._shards.places(random, count, samples)
        parts = self._offsets[clips] + starts, self._lengths[clips] - starts, self._factors[clips]
        first, length, factor = (torch.from_numpy(part).to(self._device)[:, None] for part in parts)
        column = torch.arange(samples, device=self._device)
        audio = self._audio[(first + column).clamp(max=len(self._audio) - 1)]
        # Products in float64, as NumPy computes them.
        return torch.where(column < length, audio.double() * factor, 0).float()

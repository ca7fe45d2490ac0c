"""The network that says how likely the levels of bands are: those of every other band, then those between them.

Its arithmetic is exact (`telucodec.networks.exact`), as that of the context model.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from telucodec.networks.exact import ExactLinear, relu, straightened
from telucodec.waveform.grids import BANDS, LEVEL_HISTORY, LEVEL_PASSES, LEVELS, PIVOT, UNKNOWN

HIDDEN = 96
UNIT = 2.0**-ACTIVATION_BITS


class LevelModel(nn.Module):
    """The likelihoods of levels, from the three groups before and from earlier passes. All are equally likely before training."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [len(range(BANDS)[bands]) for bands in LEVEL_PASSES]
        known = LEVEL_HISTORY * (BANDS + 1)
        self.describe = nn.ModuleList(ExactLinear(known + sum(sizes[:number]), HIDDEN) for number in range(len(sizes)))
        self.middle = nn.ModuleList(ExactLinear(HIDDEN, HIDDEN, gain=1.4) for _ in sizes)
        tell = [ExactLinear(HIDDEN, size * LEVELS, gain=0.0) for size in sizes]
        self.tell = nn.ModuleList(tell)
        self.bits = tell[0].bias_bits  # the outputs are multiples of 2^-bits

    def logarithms(self, number: int, context: Tensor) -> Tensor:
        """Outputs [count, bands of the pass * LEVELS] of pass `number`: log2 of likelihoods, before they are `straightened`."""
        return self.tell[number](relu(self.middle[number](relu(self.describe[number](context)))))

    def forward(self, levels: Tensor) -> Tensor:
        """Ideal code length in bits of the levels [batch, groups, BANDS] of packets, for training."""
        line = functional.pad(levels, (0, 0, LEVEL_HISTORY, 0), value=float(UNKNOWN))
        groups = levels.shape[1]
        before = torch.stack([line[:, lag : lag + groups] for lag in range(LEVEL_HISTORY)], dim=2)
        age = (before[..., 0] != UNKNOWN) * (ACTIVATION_LIMIT * UNIT)
        context = torch.cat([_activations(before).flatten(2), age], dim=2)
        bits = torch.empty(levels.shape, device=levels.device)
        for number, bands in enumerate(LEVEL_PASSES):
            seen = context if number == 0 else torch.cat([context, _activations(levels[..., LEVEL_PASSES[0]])], dim=2)
            logarithms = straightened(self.logarithms(number, seen)).unflatten(-1, (-1, LEVELS)) * math.log(2)
            nepers = functional.cross_entropy(logarithms.movedim(-1, 1), levels[..., bands].long(), reduction="none")
            bits[..., bands] = nepers / math.log(2)
        return bits


def _activations(levels: Tensor) -> Tensor:
    return torch.where(levels == UNKNOWN, 0.0, (levels - PIVOT) / 4)

"""Distributions over integers and their ideal code length, for training.

A coefficient is a random sign times a magnitude. The magnitude follows a mixture of two logistic distributions, one three
times wider than the other. Scale and weight lie on a grid, so that the frequencies for the range coder fit into a table of
integers: training, encoder and decoder use the same distributions, whatever a machine's exponential function returns.
"""

import torch
from torch import Tensor, nn

from telucodec.networks.exact import on_grid
from telucodec.waveform.grids import (
    COARSE,
    REACH,
    ROWS,
    SCALE_BITS,
    SCALE_HIGH,
    SCALE_LOW,
    SHIFTS,
    WIDE_BITS,
    WIDE_HIGH,
    WIDES,
)

WIDE = 3.0  # scale of the wide component over that of the narrow one
UPPER = 0.6  # an integer stands for the magnitudes from one minus this below it to this above it
PRECISION = 16  # bits of a frequency


def distribution(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Network outputs [..., 2] to log2 of the scale and the weight of the wide component, each on its grid."""
    scale = on_grid(parameters[..., 0] * 2 - 1, SCALE_BITS, SCALE_LOW, SCALE_HIGH)
    wide = on_grid(parameters[..., 1] + 0.25, WIDE_BITS, 0, WIDE_HIGH)
    return scale, wide


def bits(values: Tensor, parameters: Tensor) -> Tensor:
    """Ideal code length in bits of integers [...] under the distributions of network outputs [..., 2]."""
    scale, wide = distribution(parameters)
    inverse = torch.exp2(-scale)
    magnitude = values.abs()
    upper, lower = magnitude + UPPER, torch.where(magnitude > 0, magnitude - 1, -magnitude - 2 * UPPER) + UPPER

    def probability(inverse: Tensor) -> Tensor:
        return torch.sigmoid(-lower * inverse) - torch.sigmoid(-upper * inverse)

    return -torch.log2(((1 - wide) * probability(inverse) + wide * probability(inverse / WIDE)).clamp(min=1e-7))


def frequency_table() -> Tensor:
    """Frequencies [row, symbol] as int32; computed once, when a model is created, and saved with it.

    Rows are ordered by scale, then by the weight of the wide component. The last rows are for values without their low
    bits: a value v then has the symbol v >> count, which stands for the interval above it instead of around it.
    """
    edge = torch.arange(-REACH, REACH, dtype=torch.float64)  # between symbol n and n + 1
    around = torch.where(edge >= 0, edge + UPPER, edge + 1 - UPPER)
    fine = _rows(torch.arange(SCALE_LOW, COARSE + 1), around)
    coarse = _rows(torch.arange(COARSE - 7, COARSE + 1), edge + 0.75)
    return torch.cat([fine, coarse]).flatten(0, 1)


def _rows(scale: Tensor, edges: Tensor) -> Tensor:
    inverse = torch.exp2(-scale.double() / 2**SCALE_BITS)[:, None, None]
    wide = torch.arange(WIDE_HIGH + 1, dtype=torch.float64)[:, None] / 2**WIDE_BITS
    below = (1 - wide) * torch.sigmoid(edges * inverse) + wide * torch.sigmoid(edges * inverse / WIDE)
    below = torch.cat([torch.zeros_like(below[..., :1]), below, torch.ones_like(below[..., :1])], dim=-1)
    return (below.diff(dim=-1) * 2**PRECISION).round().clamp(min=1).to(torch.int32)


def kinds(parameters: Tensor) -> Tensor:
    """Network outputs [..., 2] to the numbers of their distributions [...].

    A number is the place of the scale on its grid, times WIDES, plus the place of the weight on its grid.
    """
    scale, wide = distribution(parameters)
    return ((scale * 2**SCALE_BITS).long() - SCALE_LOW) * WIDES + (wide * 2**WIDE_BITS).long()


class Prices(nn.Module):
    """Bits of magnitudes, from a table: the encoder weighs them against error. Equal inputs lead to equal choices.

    Args:
        frequencies: [rows, symbols], from `frequency_table`.
    """

    LIMIT = 127  # all larger magnitudes cost the same

    _table: Tensor  # [kinds * (LIMIT + 1)]

    def __init__(self, frequencies: Tensor):
        super().__init__()
        share = frequencies.double() / frequencies.sum(1, keepdim=True)
        bits = -torch.log2(share[:, REACH:]).float()
        shifts = torch.from_numpy(SHIFTS)[:, None]
        symbols = (torch.arange(self.LIMIT + 1) >> shifts).clamp(max=REACH)
        table = bits[torch.from_numpy(ROWS)].gather(1, symbols) + shifts
        self.register_buffer("_table", table.flatten(), persistent=False)

    def forward(self, magnitudes: Tensor, kinds: Tensor) -> Tensor:
        """Bits of non-negative integers [...] under distributions [...], including the sign."""
        return self._table.take(kinds * (self.LIMIT + 1) + magnitudes.clamp(max=self.LIMIT).long())

"""Distributions over integers, their ideal code length for training, and the range coder that reaches it.

A coefficient is a random sign times a magnitude, from a mixture of a narrow and a three times wider logistic distribution.
Scale and weight lie on a grid, so that the frequencies the range coder works with can stand in a table of integers:
training, encoder and decoder use the same distributions, and no machine's exponential function matters.
"""

from typing import NamedTuple

import constriction
import numpy as np
import torch
from torch import Tensor, nn

from codec.waveform.exact import on_grid

SCALE_BITS, SCALE_LOW, SCALE_HIGH = 3, -40, 56  # log2 of the scale in steps, in eighths: 2^-5 to 2^7
SCALES = SCALE_HIGH - SCALE_LOW + 1
WIDE_BITS, WIDE_HIGH = 3, 4  # weight of the wide component, in eighths: 0 to a half
WIDE = 3.0  # scale of the wide component over the narrow one's
UPPER = 0.6  # an integer stands for magnitudes from this much less than one below it, to this much above it
COARSE = 16  # scales above 2^(16/8) steps: the lowest bits of a value are coded as they come
REACH = 31  # symbols -31 to 31; at either end an escape code tells how far beyond
PRECISION = 16  # bits of a frequency

_CATEGORICAL = constriction.stream.model.Categorical(perfect=False)
_UNIFORM = constriction.stream.model.Uniform()


class DamagedPacket(ValueError):
    """The bytes of a packet do not lead to values an encoder would have written."""


def distribution(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Network outputs [..., 2] to log2 of the scale and weight of the wide component, each on its grid."""
    scale = on_grid(parameters[..., 0] * 2 - 1, SCALE_BITS, SCALE_LOW, SCALE_HIGH)
    wide = on_grid(parameters[..., 1] + 0.25, WIDE_BITS, 0, WIDE_HIGH)
    return scale, wide


def bits(values: Tensor, parameters: Tensor) -> Tensor:
    """Ideal code length in bits of integers [...] under the distributions of parameters [..., 2]."""
    scale, wide = distribution(parameters)
    inverse = torch.exp2(-scale)
    magnitude = values.abs()
    upper, lower = magnitude + UPPER, torch.where(magnitude > 0, magnitude - 1, -magnitude - 2 * UPPER) + UPPER

    def inside(inverse: Tensor) -> Tensor:
        return torch.sigmoid(-lower * inverse) - torch.sigmoid(-upper * inverse)

    return -torch.log2(((1 - wide) * inside(inverse) + wide * inside(inverse / WIDE)).clamp(min=1e-7))


def frequency_table() -> Tensor:
    """Frequencies [row, symbol] as int32; made once, when a model is saved, and stored with it.

    Rows go by scale, then by wide weight. The last ones are for values without their low bits: a value v then has the
    symbol v >> count, which stands for the interval above it and not around it.
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


class Symbols(NamedTuple):
    """Distributions [...] as the range coder uses them."""

    row: Tensor  # of the frequency table
    shift: Tensor  # number of low bits coded as they come

    def numpy(self) -> "Symbols":
        return Symbols(self.row.numpy(), self.shift.numpy())


def symbols(parameters: Tensor) -> Symbols:
    """Network outputs [..., 2] to rows of the frequency table and numbers of low bits."""
    scale, wide = distribution(parameters)
    scale = (scale * 2**SCALE_BITS).to(torch.int64)
    shift = ((scale - COARSE + 7) >> SCALE_BITS).clamp(min=0)
    row = torch.where(shift > 0, scale - (shift << SCALE_BITS) + 8, scale) - SCALE_LOW
    row = row * (WIDE_HIGH + 1) + (wide * 2**WIDE_BITS).to(torch.int64)
    return Symbols(row, shift)


class Prices(nn.Module):
    """Bits of magnitudes, looked up: what the encoder weighs against error. Equal inputs give equal choices."""

    def __init__(self, frequencies: Tensor):
        """From `frequency_table()` [rows, symbols]."""
        super().__init__()
        share = frequencies.double() / frequencies.sum(1, keepdim=True)
        self.register_buffer("_bits", -torch.log2(share[:, REACH:]).float().flatten(), persistent=False)

    def forward(self, magnitudes: Tensor, given: "Symbols") -> Tensor:
        """Bits of integers [...] that are not negative, sign included, under distributions [...]; beyond reach too few."""
        symbol = (magnitudes.long() >> given.shift).clamp(max=REACH)
        return self._bits[given.row * (REACH + 1) + symbol] + given.shift


class Encoder:
    """Values to bytes. `table` is `frequency_table()` as float32 rows [rows, symbols]."""

    def __init__(self, table: np.ndarray):
        self._table = table
        self._coder = constriction.stream.queue.RangeEncoder()

    def write(self, values: np.ndarray, given: Symbols) -> None:
        """Append integers [count] with their distributions."""
        symbol = values >> given.shift
        inside = np.clip(symbol, -REACH, REACH).astype(np.int32)
        self._coder.encode(inside + REACH, _CATEGORICAL, self._table[given.row])
        if given.shift.any():
            coarse = given.shift > 0
            low = (values - (symbol << given.shift))[coarse]
            self._coder.encode(low.astype(np.int32), _UNIFORM, (1 << given.shift[coarse]).astype(np.int32))
        for far in np.abs(symbol[np.abs(inside) == REACH]) - REACH:
            self._write_far(int(far))

    def _write_far(self, far: int) -> None:
        """Exponential Golomb code of order 2: the number of digits, then the digits."""
        digits = (far + 4).bit_length()
        self._one(digits, 32)
        for start in range(0, digits - 1, 8):
            count = min(8, digits - 1 - start)
            self._one(((far + 4) >> start) & ((1 << count) - 1), 1 << count)

    def _one(self, value: int, size: int) -> None:
        self._coder.encode(np.array([value], np.int32), _UNIFORM, np.array([size], np.int32))

    def bytes(self) -> bytes:
        """Everything written; trailing zero bytes are left out, a decoder puts them back."""
        words = self._coder.get_compressed()
        return words.astype(">u4").tobytes().rstrip(b"\0")


class Decoder:
    """Bytes to values; the same calls as the encoder's `write`, with the values coming back."""

    def __init__(self, payload: bytes, table: np.ndarray):
        self._table = table
        words = np.frombuffer(payload + bytes(-len(payload) % 4), ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def read(self, given: Symbols) -> np.ndarray:
        """The next integers [count] for their distributions.

        Raises:
            DamagedPacket: the bytes are none that an encoder writes.
        """
        try:
            symbol = self._coder.decode(_CATEGORICAL, self._table[given.row]).astype(np.int64) - REACH
            low = np.zeros_like(symbol)
            if given.shift.any():
                coarse = given.shift > 0
                low[coarse] = self._coder.decode(_UNIFORM, (1 << given.shift[coarse]).astype(np.int32))
            for place in np.flatnonzero(np.abs(symbol) == REACH):
                symbol[place] += np.sign(symbol[place]) * self._read_far()
        except AssertionError as error:  # constriction met data that no encoder writes
            raise DamagedPacket("the payload is not what an encoder writes") from error
        return (symbol << given.shift) + low

    def _read_far(self) -> int:
        digits = self._one(32)
        if not 3 <= digits <= 24:
            raise DamagedPacket(f"an escape code of {digits} digits")
        far = 1 << (digits - 1)
        for start in range(0, digits - 1, 8):
            far |= self._one(1 << min(8, digits - 1 - start)) << start
        return far - 4

    def _one(self, size: int) -> int:
        return int(self._coder.decode(_UNIFORM, np.array([size], np.int32))[0])

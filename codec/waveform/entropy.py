"""Distributions over integers, their ideal code length for training, and the range coder that reaches it.

A coefficient is a random sign times a magnitude, from a mixture of a narrow and a three times wider logistic distribution.
Scale and weight lie on a grid, so that the frequencies the range coder works with can stand in a table of integers:
training, encoder and decoder use the same distributions, and no machine's exponential function matters.
"""

import constriction
import numpy as np
import torch
from torch import Tensor, nn

from codec.exact import on_grid

SCALE_BITS, SCALE_LOW, SCALE_HIGH = 3, -40, 56  # log2 of the scale in steps, in eighths: 2^-5 to 2^7
SCALES = SCALE_HIGH - SCALE_LOW + 1
WIDE_BITS, WIDE_HIGH = 3, 4  # weight of the wide component, in eighths: 0 to a half
WIDES = WIDE_HIGH + 1
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


def kinds(parameters: Tensor) -> Tensor:
    """Network outputs [..., 2] to the numbers of their distributions: place of the scale * WIDES + place of the weight."""
    scale, wide = distribution(parameters)
    return ((scale * 2**SCALE_BITS).long() - SCALE_LOW) * WIDES + (wide * 2**WIDE_BITS).long()


# For each kind: the number of low bits of a value that are coded as they come, and its row in the frequency table.
_scale, _wide = np.divmod(np.arange(SCALES * WIDES), WIDES)
SHIFTS = np.maximum((_scale + SCALE_LOW - COARSE + 7) >> SCALE_BITS, 0)
ROWS = np.where(SHIFTS > 0, _scale - (SHIFTS << SCALE_BITS) + 8, _scale) * WIDES + _wide


class Prices(nn.Module):
    """Bits of magnitudes, looked up: what the encoder weighs against error. Equal inputs give equal choices."""

    LIMIT = 127  # from here on all cost the same

    def __init__(self, frequencies: Tensor):
        """From `frequency_table()` [rows, symbols]."""
        super().__init__()
        share = frequencies.double() / frequencies.sum(1, keepdim=True)
        bits = -torch.log2(share[:, REACH:]).float()
        shifts = torch.from_numpy(SHIFTS)[:, None]
        symbols = (torch.arange(self.LIMIT + 1) >> shifts).clamp(max=REACH)
        table = bits[torch.from_numpy(ROWS)].gather(1, symbols) + shifts
        self.register_buffer("_table", table.flatten(), persistent=False)

    def forward(self, magnitudes: Tensor, kinds: Tensor) -> Tensor:
        """Bits of integers [...] that are not negative, sign included, under distributions [...]."""
        return self._table.take(kinds * (self.LIMIT + 1) + magnitudes.clamp(max=self.LIMIT).long())


class Encoder:
    """Values to bytes. `table` is `frequency_table()` as float32 rows [rows, symbols]."""

    def __init__(self, table: np.ndarray):
        self._table = table[ROWS]
        self._coder = constriction.stream.queue.RangeEncoder()

    def write(self, values: np.ndarray, kinds: np.ndarray, ends: np.ndarray) -> None:
        """Append integers [count] with their distributions [count], in blocks that end before `ends` [blocks].

        A reader gets one block after the other: a block's low bits and escapes follow its symbols.
        """
        shift = SHIFTS[kinds]
        symbol = values >> shift
        inside = np.clip(symbol, -REACH, REACH).astype(np.int32)
        start = 0
        for block in np.unique(np.searchsorted(ends, np.flatnonzero((shift > 0) | (np.abs(inside) == REACH)), "right")):
            end = ends[block]
            self._coder.encode(inside[start:end] + REACH, _CATEGORICAL, self._table[kinds[start:end]])
            here = slice(ends[block - 1] if block else 0, end)
            self._write_rest(values[here], symbol[here], shift[here])
            start = end
        if start < len(values):
            self._coder.encode(inside[start:] + REACH, _CATEGORICAL, self._table[kinds[start:]])

    def _write_rest(self, values: np.ndarray, symbol: np.ndarray, shift: np.ndarray) -> None:
        coarse = shift > 0
        if coarse.any():
            low = (values - (symbol << shift))[coarse]
            self._coder.encode(low.astype(np.int32), _UNIFORM, (1 << shift[coarse]).astype(np.int32))
        magnitude = np.abs(symbol)
        for far in magnitude[magnitude >= REACH] - REACH:
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
    """Bytes of several packets to values, a block of each at a time."""

    def __init__(self, payloads: list[bytes], table: np.ndarray):
        self._table = table[ROWS]
        words = (np.frombuffer(payload + bytes(-len(payload) % 4), ">u4").astype(np.uint32) for payload in payloads)
        self._coders = [constriction.stream.queue.RangeDecoder(part) for part in words]

    def read(self, kinds: np.ndarray) -> np.ndarray:
        """The next integers [packets, count] for their distributions; fewer rows than packets read from the first ones.

        Raises:
            DamagedPacket: the bytes are none that an encoder writes.
        """
        rows, symbol = self._table.take(kinds, axis=0), np.empty(kinds.shape, np.int64)
        shift = SHIFTS.take(kinds)
        try:
            for coder, row, place in zip(self._coders, rows, symbol, strict=False):
                place[:] = coder.decode(_CATEGORICAL, row)
            symbol -= REACH
            low = np.zeros_like(symbol)
            far = np.abs(symbol) == REACH
            for packet in np.flatnonzero(((shift > 0) | far).any(1)):
                coder, coarse = self._coders[packet], shift[packet] > 0
                if coarse.any():
                    low[packet, coarse] = coder.decode(_UNIFORM, (1 << shift[packet, coarse]).astype(np.int32))
                for place in np.flatnonzero(far[packet]):
                    symbol[packet, place] += np.sign(symbol[packet, place]) * _read_far(coder)
        except AssertionError as error:  # constriction met data that no encoder writes
            raise DamagedPacket("the payload is not what an encoder writes") from error
        return (symbol << shift) + low


def _read_far(coder) -> int:
    def one(size: int) -> int:
        return int(coder.decode(_UNIFORM, np.array([size], np.int32))[0])

    digits = one(32)
    if not 3 <= digits <= 24:
        raise DamagedPacket(f"an escape code of {digits} digits")
    far = 1 << (digits - 1)
    for start in range(0, digits - 1, 8):
        far |= one(1 << min(8, digits - 1 - start)) << start
    return far - 4

"""Range coding of the integers of the waveform codec."""

import constriction
import numpy as np

from telucodec.errors import DamagedPacketError
from telucodec.waveform.grids import REACH, ROWS, SHIFTS

_CATEGORICAL = constriction.stream.model.Categorical(perfect=False)
_UNIFORM = constriction.stream.model.Uniform()
NOT_WRITTEN = "the payload is not what an encoder writes"


class Encoder:
    """Values to bytes. `table` holds the model's frequencies [rows, symbols], float32."""

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

    def write_symbols(self, symbols: np.ndarray, frequencies: np.ndarray) -> None:
        """Append symbols [count], int32, with the frequencies of all that could stand there [count, size]."""
        self._coder.encode(symbols, _CATEGORICAL, frequencies)

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
        """The next integers [packets, count] for their kinds of distribution; fewer rows than packets read from the first ones.

        Raises:
            DamagedPacketError: no encoder writes these bytes.
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
            raise DamagedPacketError(NOT_WRITTEN) from error
        return (symbol << shift) + low

    def read_symbols(self, frequencies: np.ndarray) -> np.ndarray:
        """The next symbols [packets, count] of the first packets, of frequencies [packets, count, size].

        Raises:
            DamagedPacketError: no encoder writes these bytes.
        """
        symbols = np.empty(frequencies.shape[:2], np.int64)
        try:
            for coder, likely, place in zip(self._coders, frequencies, symbols, strict=False):
                place[:] = coder.decode(_CATEGORICAL, likely)
        except AssertionError as error:
            raise DamagedPacketError(NOT_WRITTEN) from error
        return symbols


def _read_far(coder: constriction.stream.queue.RangeDecoder) -> int:
    """The inverse of `Encoder._write_far`."""

    def one(size: int) -> int:
        return int(coder.decode(_UNIFORM, np.array([size], np.int32))[0])

    digits = one(32)
    if not 3 <= digits <= 24:
        raise DamagedPacketError(f"the payload holds an escape code of {digits} digits")
    far = 1 << (digits - 1)
    for start in range(0, digits - 1, 8):
        far |= one(1 << min(8, digits - 1 - start)) << start
    return far - 4

"""Recordings, and what is known of each of their frames, that need not fit into memory."""

import math
import tempfile
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

IN_MEMORY = 4 << 20  # bytes, two minutes at 16 kHz; what is longer lies in a temporary file


class Samples(Protocol):
    """A recording [samples] that is read in stretches: an array or a `Spool`."""

    def __len__(self) -> int: ...

    def __getitem__(self, stretch: slice, /) -> np.ndarray: ...


class Rows:
    """An array [rows, *shape] that grows at its end, in a temporary file if it is long."""

    def __init__(self, dtype: DTypeLike, *shape: int) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed when this object is gone)
        self._dtype, self._shape, self._length = np.dtype(dtype), shape, 0
        self._size = self._dtype.itemsize * math.prod(shape)

    def append(self, rows: np.ndarray) -> None:
        """Add rows [count, *shape]."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._length += len(rows)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, stretch: slice) -> np.ndarray:
        """A stretch of consecutive rows."""
        start, stop, step = stretch.indices(self._length)
        assert step == 1, "read from front to back"
        self._file.seek(self._size * start)
        content = self._file.read(self._size * max(stop - start, 0))
        return np.frombuffer(content, self._dtype).reshape(-1, *self._shape)


class Spool(Rows):
    """An int16 recording [samples]."""

    def __init__(self) -> None:
        super().__init__("<i2")

"""Recordings that need not fit into memory."""

import tempfile
from typing import Protocol

import numpy as np

IN_MEMORY = 64 << 20  # bytes, half an hour at 16 kHz; what is longer lies in a temporary file


class Samples(Protocol):
    """A recording [samples] that is read in stretches: an array or a `Spool`."""

    def __len__(self) -> int: ...

    def __getitem__(self, stretch: slice, /) -> np.ndarray: ...


class Spool:
    """An int16 recording [samples] that grows at its end, in a temporary file if it is long."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed when this object is gone)
        self._length = 0

    def append(self, samples: np.ndarray) -> None:
        """Add int16 samples."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(samples, "<i2").data)
        self._length += len(samples)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, stretch: slice) -> np.ndarray:
        """A stretch of consecutive samples."""
        start, stop, step = stretch.indices(self._length)
        assert step == 1, "read from front to back"
        self._file.seek(2 * start)
        return np.frombuffer(self._file.read(2 * max(stop - start, 0)), "<i2")

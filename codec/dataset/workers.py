"""Recordings to tokens, in this process or in several."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np

from telucodec.codec import Codec
from telucodec.dataset.recordings import Recording, read
from telucodec.errors import AudioError, DatasetError
from telucodec.processors import end_with_parent


class Coded(NamedTuple):
    """A recording as tokens, uint16 [num_codebooks, frames], and the bits that they cost in a file."""

    seconds: float
    tokens: np.ndarray
    bits: float


class Rejected(NamedTuple):
    """Why a recording cannot be read."""

    reason: str


class Coder:
    """Turns a recording into its tokens."""

    def __init__(self, codec: Codec, num_codebooks: int):
        self._codec, self._num_codebooks = codec, num_codebooks

    def __call__(self, recording: Recording) -> Coded | Rejected:
        try:
            audio = read(recording, self._codec.sample_rate)
        except AudioError as error:
            return Rejected(str(error))
        tokens = self._codec.tokenize(audio, self._num_codebooks)
        bits = float(self._codec.token_bits(tokens).sum())
        return Coded(len(audio) / self._codec.sample_rate, tokens.astype(np.uint16), bits)


Map = Callable[[Iterable[Recording]], Iterator[Coded | Rejected]]


@contextlib.contextmanager
def mapping(coder: Coder, jobs: int) -> Iterator[Map]:
    """What turns many recordings into tokens, in their order, with so many processes; 1: with this one alone.

    Raises:
        DatasetError: a process was killed.
    """
    if jobs == 1:
        yield lambda recordings: map(coder, recordings)
        return
    # They are spawned: forking a process whose libraries have threads can hang.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(coder,))
    try:
        yield lambda recordings: pool.map(_code, recordings)
    except BrokenProcessPool:
        remedy = "is the memory full? Run the same command again to continue, with fewer --jobs"
        raise DatasetError(f"one of {jobs} processes was killed; {remedy}") from None
    finally:
        pool.shutdown(cancel_futures=True)


_coder: Coder  # of a worker


def _begin(coder: Coder) -> None:
    global _coder
    _coder = coder
    end_with_parent()


def _code(recording: Recording) -> Coded | Rejected:
    return _coder(recording)

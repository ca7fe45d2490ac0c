"""Audio to packets of range-coded tokens and back with the token codec."""

import functools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import DTypeLike

from telucodec.audio.samples import floats
from telucodec.audio.spool import Rows, Samples
from telucodec.errors import CodecError
from telucodec.tokens.depths import depths
from telucodec.tokens.engine import TokenEngine
from telucodec.tokens.streaming import TokenStreamDecoder

BLOCK_FRAMES = (
    500  # frames that go through the network at once: what a step of the search works on stays near the cache
)
NEAR = 0.985  # of the bytes allowed: a file that uses so many is good enough
ATTEMPTS = 12


class TokenPackets:
    """Codes whole recordings at one setting: the most codebooks of a frame, and their mean over frames (0: all of them)."""

    def __init__(self, engine: TokenEngine, num_codebooks: int, mean: int = 0):
        if not 1 <= num_codebooks <= engine.num_codebooks:
            raise CodecError(f"{num_codebooks} codebooks requested; this model has 1 to {engine.num_codebooks}")
        if mean > engine.num_codebooks:
            raise CodecError(f"{mean} codebooks per frame on average requested; this model has {engine.num_codebooks}")
        self.engine, self.num_codebooks, self.mean, self.hop = engine, num_codebooks, mean, engine.hop

    def codes(self, audio: Samples) -> np.ndarray:
        """Audio [samples] to codes [num_codebooks, frames], as many for every frame."""
        return self.coded(audio)[:].T.astype(np.int32)

    def coded(self, audio: Samples) -> Rows:
        """As `codes`, [frames, num_codebooks] that need not fit into memory."""
        rows = Rows(self._dtype, self.num_codebooks)
        for codes, _ in self._encoded(audio):
            rows.append(codes[-1])
        return rows

    def silence(self, frames: int) -> np.ndarray:
        """Codes [num_codebooks, frames] of silence."""
        return np.repeat(self._silent_frame, frames, axis=1)

    @functools.cached_property
    def _silent_frame(self) -> np.ndarray:
        return self.codes(np.zeros(self.hop, np.float32))[:, :1]

    def choices(self, audio: Samples) -> "Choices":
        """The codes and errors of audio [samples] with every number of codebooks."""
        choices = Choices(self.num_codebooks, self._dtype)
        for codes, errors in self._encoded(audio):
            choices.append(codes, errors)
        return choices

    @property
    def _dtype(self) -> np.dtype:
        return np.min_scalar_type(self.engine.codebook_size - 1)

    def _frames(self, audio: Samples) -> int:
        return -(-len(audio) // self.hop) + 1

    def _encoded(self, audio: Samples) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
        """What `TokenEncoder.push` gives for all of a recording, block by block."""
        encoder = self.engine.encoder(self.num_codebooks)
        size, samples = BLOCK_FRAMES * self.hop, self._frames(audio) * self.hop
        for start in range(0, samples, size):
            block = floats(audio[start : start + size])
            yield encoder.push(np.pad(block, (0, min(size, samples - start) - len(block))).astype(np.float32))

    def blocks(self, stretches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Stretches of codes [N, frames] to blocks of audio, (frames - 1) * hop samples in all."""
        decoder = TokenStreamDecoder(self.engine)
        for codes in _divided(stretches):
            yield decoder.push(codes)

    def pack(self, codes: np.ndarray) -> bytes:
        """Codes [num_codebooks, frames] to bytes."""
        return self.engine.coder.encode(codes, self.mean)

    def unpack(self, payloads: list[bytes], frames: list[int]) -> list[np.ndarray]:
        """Packets of so many frames to their codes [num_codebooks, frames].

        Raises:
            DamagedPacketError: no encoder writes one of these payloads.
        """
        return self.engine.coder.decode(payloads, frames, self.num_codebooks, self.mean)


class Choices:
    """The codes that the frames of a recording could use: with 0, 1, ... codebooks, and their errors. They need not fit into
    memory.
    """

    def __init__(self, num_codebooks: int, dtype: DTypeLike):
        """`dtype` holds a code."""
        self.num_codebooks = num_codebooks
        self._errors = Rows(np.float32, num_codebooks + 1)
        self._codes = Rows(dtype, num_codebooks * (num_codebooks + 1) // 2)  # of one codebook, then of two, ...

    def append(self, codes: list[np.ndarray], errors: np.ndarray) -> None:
        """The next frames: codes [frames, n] for n = 1, ... N, and errors [frames, N + 1]."""
        self._codes.append(np.concatenate(codes, axis=1))
        self._errors.append(errors)

    def depths(self, mean: float) -> np.ndarray:
        """How many codebooks each frame [frames] uses when it is so many on average."""
        return depths(self._errors, mean)

    def codes(self, used: np.ndarray, start: int, stop: int) -> np.ndarray:
        """The codes [num_codebooks, frames] of the frames from `start` to `stop`; -1 where one uses fewer codebooks.

        Args:
            used: what `depths` gave.
        """
        rows, own = self._codes[start:stop], used[start:stop]
        codes, first = np.full((self.num_codebooks, len(own)), -1, np.int32), 0
        for count in range(1, self.num_codebooks + 1):
            frames = np.flatnonzero(own == count)
            codes[:count, frames] = rows[frames, first : first + count].T
            first += count
        return codes


def _divided(stretches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Stretches of codes [N, frames] divided into `BLOCK_FRAMES`."""
    held: np.ndarray | None = None
    for stretch in stretches:
        held = stretch if held is None else np.concatenate([held, stretch], axis=1)
        while held.shape[1] >= BLOCK_FRAMES:
            yield held[:, :BLOCK_FRAMES]
            held = held[:, BLOCK_FRAMES:]
    if held is not None and held.shape[1]:
        yield held


def largest(encode_at: Callable[[float], bytes], num_codebooks: int, allowed: float) -> bytes:
    """The largest of the files `encode_at` makes, by the mean number of codebooks, that has no more bytes than allowed; the
    smallest there is, without any tokens, if that has more.
    """
    best = encode_at(num_codebooks)
    if len(best) <= allowed:
        return best
    high, size = float(num_codebooks), len(best)
    best = encode_at(0.0)
    if len(best) > allowed:
        return best
    low, least = 0.0, len(best)
    for _ in range(ATTEMPTS):
        # Size is nearly proportional to the number of codebooks: aim at the middle of what is good enough.
        share = ((1 + NEAR) / 2 * allowed - least) / (size - least)
        middle = low + min(max(share, 0.05), 0.95) * (high - low)
        data = encode_at(middle)
        if len(data) > allowed:
            high, size = middle, len(data)
            continue
        low, least, best = middle, len(data), data
        if len(data) >= NEAR * allowed:
            break
    return best

"""Audio to packets of range-coded tokens and back with the token codec."""

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch

from codec.container import ContainerError
from codec.samples import floats
from codec.tokens.engine import TokenEngine, TokenWalk
from codec.tokens.quantizer import depths
from codec.tokens.streaming import TokenStreamDecoder

BLOCK_FRAMES = 500  # frames that go through the network at once: what a search level works on stays near the cache
NEAR = 0.985  # of the bytes allowed: what uses so many is good enough
ATTEMPTS = 12


class TokenPackets:
    """Codes whole recordings with one setting: the most levels of a frame, and how many they use on average (0: all of them)."""

    def __init__(self, engine: TokenEngine, levels: int, mean: int = 0):
        if not 1 <= levels <= engine.levels:
            raise ValueError(f"{levels} codebooks asked for; this model has 1 to {engine.levels}")
        if mean > engine.levels:
            raise ValueError(f"{mean} codebooks a frame on average; this model has {engine.levels}")
        self.engine, self.levels, self.mean, self.hop = engine, levels, mean, engine.hop

    def codes(self, audio: np.ndarray) -> np.ndarray:
        """Audio [samples] to codes [levels, frames], as many for every frame."""
        parts = [codes for (codes,) in self._walked(self.engine.encoder(self.levels), audio)]
        return np.concatenate(parts).T.astype(np.int64)

    def silence(self, frames: int) -> np.ndarray:
        """Codes [levels, frames] of silence."""
        return np.repeat(self._silent_frame, frames, axis=1)

    @functools.cached_property
    def _silent_frame(self) -> np.ndarray:
        return self.codes(np.zeros(self.hop, np.float32))[:, :1]

    def choices(self, audio: np.ndarray) -> "Choices":
        """Audio [samples] to what its frames could use."""
        errors, *codes = (
            np.concatenate(parts) for parts in zip(*self._walked(self.engine.chooser(self.levels), audio), strict=True)
        )
        return Choices(errors, codes)

    def _walked(self, walk: TokenWalk, audio: np.ndarray) -> Iterator[list[np.ndarray]]:
        """What a walk over all of a recording gives, block by block."""
        size, samples = BLOCK_FRAMES * self.hop, len(audio) + -len(audio) % self.hop + self.hop
        for start in range(0, samples, size):
            block = floats(audio[start : start + size])
            found = walk.push(np.pad(block, (0, min(size, samples - start) - len(block))).astype(np.float32))
            yield [value.astype(np.int32) if value.dtype == np.int64 else value for value in found]

    def blocks(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Codes [levels, frames] to blocks of audio, (frames - 1) * hop samples in all."""
        decoder = TokenStreamDecoder(self.engine)
        for start in range(0, codes.shape[1], BLOCK_FRAMES):
            yield decoder.push(codes[:, start : start + BLOCK_FRAMES])

    def pack(self, codes: np.ndarray) -> bytes:
        """Codes [levels, frames] to bytes."""
        return self.engine.coder.encode(codes, self.mean)

    def unpack(self, payloads: list[bytes], frames: list[int]) -> list[np.ndarray]:
        """Packets of so many frames to their codes [levels, frames].

        Raises:
            ContainerError: no encoder writes one of these payloads.
        """
        try:
            return self.engine.coder.decode(payloads, frames, self.levels, self.mean)
        except AssertionError as error:  # constriction met data that no encoder writes
            raise ContainerError("the payload is not what an encoder writes") from error


class Choices:
    """What the frames of a recording could use: with 0, 1, ... levels, their errors and their codes."""

    def __init__(self, errors: np.ndarray, codes: list[np.ndarray]):
        self._errors, self._codes = torch.from_numpy(errors)[None], codes

    @property
    def levels(self) -> int:
        return len(self._codes)

    def codes(self, mean_levels: float) -> np.ndarray:
        """The codes [levels, frames] when frames use so many levels on average; -1 where there is none."""
        used = depths(self._errors, torch.tensor([mean_levels]))[0].numpy()
        chosen = np.full((self.levels, len(used)), -1, np.int64)
        for count, codes in enumerate(self._codes, 1):
            frames = np.flatnonzero(used == count)
            chosen[:count, frames] = codes[frames].T
        return chosen


def largest(encode_at: Callable[[float], bytes], levels: int, allowed: float) -> bytes:
    """The largest of the files `encode_at` makes, by the mean number of levels, that has no more bytes than allowed.

    Raises:
        ValueError: a file without any tokens has more.
    """
    most = encode_at(levels)
    if len(most) <= allowed:
        return most
    best = encode_at(0.0)
    if len(best) > allowed:
        raise ValueError(f"{allowed:.0f} bytes are out of reach; a file without tokens has {len(best)}")
    (low, least), (high, size) = (0.0, len(best)), (float(levels), len(most))
    for _ in range(ATTEMPTS):
        # Size goes nearly straight with the number of levels: aim at the middle of what is good enough.
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

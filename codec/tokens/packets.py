"""Audio to packets of range-coded tokens and back with the token codec."""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from telucodec.audio.samples import floats
from telucodec.audio.spool import Samples
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
        return np.concatenate([codes[-1] for codes, _ in self._encoded(audio)]).T

    def silence(self, frames: int) -> np.ndarray:
        """Codes [num_codebooks, frames] of silence."""
        return np.repeat(self._silent_frame, frames, axis=1)

    @functools.cached_property
    def _silent_frame(self) -> np.ndarray:
        return self.codes(np.zeros(self.hop, np.float32))[:, :1]

    def choices(self, audio: Samples) -> "Choices":
        """The codes and errors of audio [samples] with every number of codebooks."""
        frames, small = self._frames(audio), np.min_scalar_type(self.engine.codebook_size - 1)
        errors = np.empty((frames, self.num_codebooks + 1), np.float32)
        codes = [np.empty((frames, count), small) for count in range(1, self.num_codebooks + 1)]
        start = 0
        for part, error in self._encoded(audio):
            stop = start + len(error)
            errors[start:stop] = error
            for whole, piece in zip(codes, part, strict=True):
                whole[start:stop] = piece
            start = stop
        return Choices(errors, codes)

    def _frames(self, audio: Samples) -> int:
        return -(-len(audio) // self.hop) + 1

    def _encoded(self, audio: Samples) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
        """What `TokenEncoder.push` gives for all of a recording, block by block, the codes as int32."""
        encoder = self.engine.encoder(self.num_codebooks)
        size, samples = BLOCK_FRAMES * self.hop, self._frames(audio) * self.hop
        for start in range(0, samples, size):
            block = floats(audio[start : start + size])
            codes, errors = encoder.push(np.pad(block, (0, min(size, samples - start) - len(block))).astype(np.float32))
            yield [part.astype(np.int32) for part in codes], errors

    def blocks(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Codes [N, frames] to blocks of audio, (frames - 1) * hop samples in all."""
        decoder = TokenStreamDecoder(self.engine)
        for start in range(0, codes.shape[1], BLOCK_FRAMES):
            yield decoder.push(codes[:, start : start + BLOCK_FRAMES])

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
    """The codes that the frames of a recording could use: errors [frames, N + 1], and codes [frames, n] for n = 1, ... N."""

    def __init__(self, errors: np.ndarray, codes: list[np.ndarray]):
        self._errors, self._codes = errors, codes

    @property
    def num_codebooks(self) -> int:
        return len(self._codes)

    def codes(self, mean: float) -> np.ndarray:
        """The codes [num_codebooks, frames] when frames use so many codebooks on average; -1 where there is none."""
        used = depths(self._errors, mean)
        codes = np.full((self.num_codebooks, len(used)), -1, np.int64)
        for count, choice in enumerate(self._codes, 1):
            frames = np.flatnonzero(used == count)
            codes[:count, frames] = choice[frames].T
        return codes


def largest(encode_at: Callable[[float], bytes], num_codebooks: int, allowed: float) -> bytes:
    """The largest of the files `encode_at` makes, by the mean number of codebooks, that has no more bytes than allowed; the
    smallest there is, without any tokens, if that has more.
    """
    most = encode_at(num_codebooks)
    if len(most) <= allowed:
        return most
    best = encode_at(0.0)
    if len(best) > allowed:
        return best
    (low, least), (high, size) = (0.0, len(best)), (float(num_codebooks), len(most))
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

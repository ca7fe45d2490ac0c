"""Audio to packets of packed codes and back with the token codec."""

from collections.abc import Iterator

import numpy as np

from codec.container import ContainerError
from codec.tokens.engine import TokenEngine
from codec.tokens.streaming import TokenStreamDecoder, TokenStreamEncoder

BLOCK_FRAMES = 1500  # frames that go through the network at once: bounds memory


class TokenPackets:
    """Packs the codes of whole recordings; a code takes log2(size) bits, level after level of a frame."""

    def __init__(self, engine: TokenEngine, levels: int):
        if not 1 <= levels <= engine.levels:
            raise ValueError(f"{levels} codebooks asked for; this model has 1 to {engine.levels}")
        self.engine, self.levels, self.hop = engine, levels, engine.hop
        self.bits = (engine.size - 1).bit_length()

    def codes(self, audio: np.ndarray) -> np.ndarray:
        """Audio [samples] to codes [levels, frames], block by block."""
        encoder, block = TokenStreamEncoder(self.engine, self.levels), BLOCK_FRAMES * self.hop
        parts = [encoder.push(audio[start : start + block]) for start in range(0, len(audio), block)]
        return np.concatenate([*parts, encoder.finish()], axis=1)

    def blocks(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Codes [levels, frames] to blocks of audio, (frames - 1) * hop samples in all."""
        decoder = TokenStreamDecoder(self.engine)
        for start in range(0, codes.shape[1], BLOCK_FRAMES):
            yield decoder.push(codes[:, start : start + BLOCK_FRAMES])

    def pack(self, codes: np.ndarray) -> bytes:
        """Codes [levels, frames] to bytes, the highest bit first."""
        binary = (codes.T.reshape(-1, 1) >> np.arange(self.bits - 1, -1, -1)) & 1
        return np.packbits(binary.astype(np.uint8)).tobytes()

    def unpack(self, payload: bytes, frames: int) -> np.ndarray:
        """Bytes to codes [levels, frames].

        Raises:
            ContainerError: the payload has another length than so many frames need, or codes beyond the codebook.
        """
        wanted = frames * self.levels * self.bits
        if len(payload) != -(-wanted // 8):
            raise ContainerError(f"{len(payload)} bytes hold no {frames} frames of {self.levels} codes")
        binary = np.unpackbits(np.frombuffer(payload, np.uint8))[:wanted].reshape(-1, self.bits).astype(np.int64)
        codes = (binary << np.arange(self.bits - 1, -1, -1)).sum(1)
        if codes.max(initial=0) >= self.engine.size:
            raise ContainerError(f"a code of {codes.max()} in a codebook of {self.engine.size}")
        return codes.reshape(frames, self.levels).T

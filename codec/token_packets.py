"""Audio to packets of packed codes and back with the token codec."""

from collections.abc import Iterator

import numpy as np
import torch

from codec.container import ContainerError
from codec.samples import floats
from codec.tokens.model import TokenCodec

BLOCK_FRAMES = 1500  # frames that go through the network at once: bounds memory


class TokenPackets:
    """Packs the codes of whole recordings; a code takes log2(size) bits, level after level of a frame."""

    def __init__(self, codec: TokenCodec, levels: int):
        if not 1 <= levels <= codec.config.quantizer.levels:
            raise ValueError(f"{levels} codebooks asked for; this model has 1 to {codec.config.quantizer.levels}")
        self.codec, self.levels, self.hop = codec, levels, codec.config.hop
        self.bits = (codec.config.quantizer.size - 1).bit_length()
        layers = max(codec.config.encoder_layers, codec.config.decoder_layers)
        self._context = layers * (codec.config.kernel - 1) + 2  # frames before a block that its first frame depends on

    def codes(self, audio: np.ndarray) -> np.ndarray:
        """Audio [samples] to codes [frames, levels], block by block."""
        frames = self.codec.mdct.frames(len(audio))
        parts = []
        for start in range(0, frames, BLOCK_FRAMES):
            end = min(start + BLOCK_FRAMES, frames)
            first = max(start - self._context, 0)
            # Frame t covers samples (t - 1) * hop to (t + 1) * hop; the transform puts a hop of zeros before a piece.
            piece = audio[first * self.hop : (end + 1) * self.hop]
            coded = self.codec.encode(
                torch.from_numpy(np.ascontiguousarray(floats(piece), np.float32))[None], self.levels
            )
            parts.append(coded[0, :, start - first : end - first].numpy().T)
        return np.concatenate(parts)

    def blocks(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Codes [frames, levels] to blocks of audio, (frames - 1) * hop samples in all."""
        frames = len(codes)
        for start in range(0, frames - 1, BLOCK_FRAMES):
            end = min(start + BLOCK_FRAMES, frames - 1)
            first = max(start - self._context, 0)
            part = torch.from_numpy(codes[first : end + 1].T.astype(np.int64))[None]
            decoded = self.codec.decode(part, (end - first) * self.hop)[0].numpy()
            yield decoded[(start - first) * self.hop :]

    def pack(self, codes: np.ndarray) -> bytes:
        """Codes [frames, levels] to bytes, the highest bit first."""
        binary = (codes.reshape(-1, 1) >> np.arange(self.bits - 1, -1, -1)) & 1
        return np.packbits(binary.astype(np.uint8)).tobytes()

    def unpack(self, payload: bytes, frames: int) -> np.ndarray:
        """Bytes to codes [frames, levels].

        Raises:
            ContainerError: the payload has another length than so many frames need, or codes beyond the codebook.
        """
        wanted = frames * self.levels * self.bits
        if len(payload) != -(-wanted // 8):
            raise ContainerError(f"{len(payload)} bytes hold no {frames} frames of {self.levels} codes")
        binary = np.unpackbits(np.frombuffer(payload, np.uint8))[:wanted].reshape(-1, self.bits).astype(np.int64)
        codes = (binary << np.arange(self.bits - 1, -1, -1)).sum(1)
        if codes.max(initial=0) >= self.codec.config.quantizer.size:
            raise ContainerError(f"a code of {codes.max()} in a codebook of {self.codec.config.quantizer.size}")
        return codes.reshape(frames, self.levels)

"""Speech that arrives in pieces to tokens, and tokens to speech."""

import numpy as np

from telucodec.audio.samples import checked, floats
from telucodec.errors import CodecError
from telucodec.tokens.engine import TokenEngine


class TokenStreamEncoder:
    """Pushed samples come out as tokens, frame by frame; `finish` gives those that remain.

    A frame leaves as soon as its last sample is there: the latency is two hops, 40 ms. However the samples are cut, together
    the tokens are those of the whole recording.
    """

    def __init__(self, engine: TokenEngine, num_codebooks: int):
        self.num_codebooks = num_codebooks
        self._encoder, self._hop = engine.encoder(num_codebooks), engine.hop
        self._waiting = np.zeros(0, np.float32)  # samples that do not fill a hop yet

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Samples [count], float in [-1, 1] or int16, to the tokens [num_codebooks, frames] that they complete, int64.

        Raises:
            CodecError: samples of another kind, not finite or far beyond full scale; the encoder is as before.
        """
        waiting = np.concatenate([self._waiting, floats(checked(samples))], dtype=np.float32)
        whole = len(waiting) // self._hop * self._hop
        self._waiting = waiting[whole:].copy()
        if not whole:
            return np.zeros((self.num_codebooks, 0), np.int64)
        codes, _ = self._encoder.push(waiting[:whole])
        return codes[-1].T

    def finish(self) -> np.ndarray:
        """The tokens [num_codebooks, frames] of what is left: one or two frames."""
        return self.push(np.zeros(-len(self._waiting) % self._hop + self._hop, np.float32))


class TokenStreamDecoder:
    """Pushed tokens come out as samples, one hop behind the frames: the first frame of a recording completes no samples."""

    def __init__(self, engine: TokenEngine):
        self._decoder, self._hop = engine.decoder(), engine.hop
        self._num_codebooks, self._codebook_size = engine.num_codebooks, engine.codebook_size
        self._first = True

    def push(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens [num_codebooks, frames] to float32 samples.

        Raises:
            CodecError: another shape, or values that are not tokens; the decoder is as before.
        """
        tokens = checked_tokens(tokens, self._num_codebooks, self._codebook_size)
        if not tokens.shape[1]:
            return np.zeros(0, np.float32)
        audio = self._decoder.push(np.ascontiguousarray(tokens.T, np.int64))
        start, self._first = self._hop if self._first else 0, False
        return audio[start:]


def checked_tokens(tokens: np.ndarray, num_codebooks: int, codebook_size: int) -> np.ndarray:
    """Tokens [N, frames] of a codec with so many codebooks; -1 where a frame uses fewer of them.

    Raises:
        CodecError: another shape or type, or a value that is not a token.
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or not 1 <= len(tokens) <= num_codebooks:
        raise CodecError(
            f"tokens must be integers [codebooks, frames] of 1 to {num_codebooks} codebooks, "
            f"got {tokens.dtype} {list(tokens.shape)}"
        )
    if tokens.size and not (tokens.min() >= -1 and tokens.max() < codebook_size):
        raise CodecError(f"tokens must lie between 0 and {codebook_size - 1}, got {tokens.min()} to {tokens.max()}")
    if (tokens[1:][tokens[:-1] < 0] >= 0).any():
        raise CodecError("a frame has a token after a codebook that it does not use (-1)")
    return tokens

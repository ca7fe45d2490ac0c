"""Speech that comes bit by bit to tokens, and tokens to speech."""

import numpy as np

from codec.samples import checked, floats
from codec.tokens.engine import TokenEngine


class TokenStreamEncoder:
    """Pushed samples come out as tokens, frame by frame; `finish` gives those that remain.

    A frame leaves as soon as its last sample is there: the latency is two hops, 40 ms. However the samples are cut, together
    the tokens are those of the whole recording.
    """

    def __init__(self, engine: TokenEngine, levels: int):
        self.levels = levels
        self._walk, self._hop = engine.encoder(levels), engine.hop
        self._waiting = np.zeros(0, np.float32)  # samples that do not fill a hop yet

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Samples [count], float in [-1, 1] or int16, to the tokens [levels, frames] that they complete.

        Raises:
            ValueError: samples of another kind, not finite or far beyond full scale; the encoder is as before.
        """
        waiting = np.concatenate([self._waiting, floats(checked(samples))], dtype=np.float32)
        whole = len(waiting) // self._hop * self._hop
        self._waiting = waiting[whole:].copy()
        return self._walk.push(waiting[:whole])[0].T if whole else np.zeros((self.levels, 0), np.int64)

    def finish(self) -> np.ndarray:
        """The tokens [levels, frames] of what is left: one or two frames."""
        return self.push(np.zeros(-len(self._waiting) % self._hop + self._hop, np.float32))


class TokenStreamDecoder:
    """Pushed tokens come out as samples, a hop behind the frames: those of a recording's first frame complete none."""

    def __init__(self, engine: TokenEngine):
        self._walk, self._hop = engine.decoder(), engine.hop
        self._most, self._size = engine.levels, engine.size
        self._first = True

    def push(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens [levels, frames] to float32 samples.

        Raises:
            ValueError: another shape, or values that are no tokens; the decoder is as before.
        """
        tokens = checked_tokens(tokens, self._most, self._size)
        if not tokens.shape[1]:
            return np.zeros(0, np.float32)
        (audio,) = self._walk.push(np.ascontiguousarray(tokens.T, np.int64))
        start, self._first = self._hop if self._first else 0, False
        return audio[start:]


def checked_tokens(tokens: np.ndarray, levels: int, size: int) -> np.ndarray:
    """Tokens [levels, frames] of a codec with so many codebooks of a size; -1 where a frame uses fewer levels.

    Raises:
        ValueError: they are none.
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or not 1 <= len(tokens) <= levels:
        raise ValueError(
            f"tokens must be integers [levels, frames] with 1 to {levels} levels, got {tokens.dtype} {list(tokens.shape)}"
        )
    if tokens.size and not (tokens.min() >= -1 and tokens.max() < size):
        raise ValueError(f"tokens must lie between 0 and {size - 1}, got {tokens.min()} to {tokens.max()}")
    if (tokens[1:][tokens[:-1] < 0] >= 0).any():
        raise ValueError("a token follows a level that its frame does not use (-1)")
    return tokens

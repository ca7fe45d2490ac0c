"""Tokens to bytes and back with the prices of `codec.tokens.prior`, by range coding."""

import functools
import itertools

import constriction
import numpy as np

from codec.tokens.prior import CONTEXTS, PRICE_BITS, TokenPrior, frequencies


class TokenCoder:
    """Codes [levels, frames] to bytes and back; -1 stands where a frame uses fewer levels."""

    def __init__(self, prior: TokenPrior):
        self.levels, self.size = prior.levels, prior.size
        self._kinds, self._codes, self._depths = (
            part.numpy().astype(np.int64) for part in (prior.kinds, prior.codes, prior.depths)
        )
        self._code_model = functools.cache(lambda level, context: _model(self._codes[level, context]))
        self._depth_model = functools.cache(lambda mean, before: _model(self._depths[mean, before]))

    def encode(self, codes: np.ndarray, mean: int) -> bytes:
        """Codes to bytes; trailing zero bytes are left out.

        Args:
            mean: about how many levels frames use on average, which tells how likely each number is; 0: all use as many.
        """
        coder = constriction.stream.queue.RangeEncoder()
        depths = (codes >= 0).sum(0)
        if mean:
            for before, depth in itertools.pairwise([self.levels + 1, *depths]):
                coder.encode(int(depth), self._depth_model(mean, int(before)))
        context = CONTEXTS
        for code in codes[0]:
            if code >= 0:
                coder.encode(int(code), self._code_model(0, context))
            context = self._kinds[code] if code >= 0 else CONTEXTS
        for level, kind, frames in self._groups(codes[0], depths, len(codes)):
            coder.encode(codes[level, frames].astype(np.int32), self._code_model(level, kind))
        return coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")

    def decode(self, payload: bytes, frames: int, levels: int, mean: int) -> np.ndarray:
        """The codes [levels, frames] of `encode`. Bytes that no encoder wrote give arbitrary codes.

        Raises:
            AssertionError: the bytes are none that an encoder writes.
        """
        words = np.frombuffer(payload + bytes(-len(payload) % 4), ">u4").astype(np.uint32)
        coder = constriction.stream.queue.RangeDecoder(words)
        depths, before = np.full(frames, levels), self.levels + 1
        if mean:
            for frame in range(frames):
                before = depths[frame] = coder.decode(self._depth_model(mean, before))
            depths = depths.clip(max=levels)
        codes, context = np.full((levels, frames), -1, np.int64), CONTEXTS
        for frame in range(frames):
            if depths[frame]:
                codes[0, frame] = coder.decode(self._code_model(0, context))
            context = self._kinds[codes[0, frame]] if depths[frame] else CONTEXTS
        for level, kind, places in self._groups(codes[0], depths, levels):
            codes[level, places] = coder.decode(self._code_model(level, kind), len(places))
        return codes

    def bits(self, codes: np.ndarray) -> np.ndarray:
        """What each of the codes [levels, frames] costs in `encode`, in bits; 0 where there is none."""
        kinds = np.where(codes[0] >= 0, self._kinds[codes[0]], CONTEXTS)
        context = np.broadcast_to(kinds, codes.shape).copy()
        context[0] = np.concatenate([[CONTEXTS], kinds[:-1]])
        prices = self._codes[np.arange(len(codes))[:, None], context, codes]
        return np.where(codes >= 0, prices / 2**PRICE_BITS, 0.0)

    def _groups(self, first: np.ndarray, depths: np.ndarray, levels: int):
        """Level after level from the second on, the frames of each kind that use it."""
        kinds = np.where(depths > 0, self._kinds[first], CONTEXTS)
        for level in range(1, levels):
            deep = np.flatnonzero(depths > level)
            if not len(deep):
                return
            order = deep[np.argsort(kinds[deep], kind="stable")]
            present, starts = np.unique(kinds[order], return_index=True)
            for kind, frames in zip(present, np.split(order, starts[1:]), strict=True):
                yield level, int(kind), frames


def _model(prices: np.ndarray) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical(frequencies(prices), perfect=False)

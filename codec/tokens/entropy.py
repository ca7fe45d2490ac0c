"""Tokens to bytes and back with the prices of `codec.tokens.prior`, by range coding."""

import itertools
import math
from collections.abc import Iterator

import constriction
import numpy as np
import torch
from torch import Tensor

from codec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT, ExactLinear
from codec.tokens.prior import PRECISION, PRICE_BITS, TokenPrior, seen

PORTION = 2048  # frames priced at once: bounds memory

_CATEGORICAL = constriction.stream.model.Categorical(perfect=False)


class TokenCoder:
    """Codes [levels, frames] to bytes and back; -1 stands where a frame uses fewer levels."""

    def __init__(self, prior: TokenPrior, codebooks: Tensor):
        self._prior, self._codewords = prior, prior.codewords(codebooks)
        self._layers = [
            (_weights(describe, 0, ACTIVATION_BITS), _weights(tell, ACTIVATION_BITS, PRICE_BITS))
            for describe, tell in zip(prior.describe, prior.tell, strict=True)
        ]
        self._depths = [[_model(row) for row in _FREQUENCIES[prices]] for prices in prior.depths.numpy()]

    def encode(self, codes: np.ndarray, mean: int) -> bytes:
        """Codes to bytes; trailing zero bytes are left out.

        Args:
            mean: about how many levels frames use on average, which tells how likely each number is; 0: all use as many.
        """
        coder = constriction.stream.queue.RangeEncoder()
        again, used = _repeated(codes), (codes >= 0).sum(0)
        repeats = _Repeats()
        for now in again[1:].astype(int).tolist():
            coder.encode(now, repeats.model())
            repeats.push(now)
        if mean:
            before = self._prior.levels + 1
            for depth in used[~again].tolist():
                coder.encode(depth, self._depths[mean][before])
                before = depth
        for level, known in enumerate(self._known(codes)):
            frames = (used > level) & ~again
            if frames.any():
                coder.encode(
                    codes[level, frames].astype(np.int32), _CATEGORICAL, self._frequencies(level, known[frames])
                )
        return coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")

    def decode(self, payload: bytes, frames: int, levels: int, mean: int) -> np.ndarray:
        """The codes [levels, frames] of `encode`. Bytes that no encoder wrote give arbitrary codes.

        Raises:
            AssertionError: the bytes are none that an encoder writes.
        """
        words = np.frombuffer(payload + bytes(-len(payload) % 4), ">u4").astype(np.uint32)
        coder = constriction.stream.queue.RangeDecoder(words)
        again, repeats = np.zeros(frames, bool), _Repeats()
        for frame in range(1, frames):
            again[frame] = now = coder.decode(repeats.model())
            repeats.push(now)
        used, before = np.full(frames, levels), self._prior.levels + 1
        for frame in np.flatnonzero(~again) if mean else ():
            used[frame] = before = coder.decode(self._depths[mean][before])
        original = np.maximum.accumulate(np.where(again, 0, np.arange(frames)))  # what a repeated frame repeats
        used = used[original].clip(max=levels)
        codes = np.full((levels, frames), -1, np.int64)
        self._decode_first(coder, codes[0], used > 0, again)
        for level, known in enumerate(self._known(codes)):
            fresh = (used > level) & ~again
            if level and fresh.any():
                codes[level, fresh] = coder.decode(_CATEGORICAL, self._frequencies(level, known[fresh]))
                codes[level] = codes[level, original]
        return codes

    def _decode_first(self, coder, codes: np.ndarray, there: np.ndarray, again: np.ndarray) -> None:
        """Codes of the first level [frames], of which each tells what is likely for the next two."""
        words = seen(self._codewords[0]).numpy()
        before, earlier = words[-1], words[-1]
        for frame in range(len(codes)):
            if again[frame]:
                codes[frame] = codes[frame - 1]
            elif there[frame]:
                (frequencies,) = self._frequencies(0, np.concatenate([before, earlier])[None])
                codes[frame] = coder.decode(_model(frequencies))
            before, earlier = words[codes[frame]], before

    def bits(self, codes: np.ndarray) -> np.ndarray:
        """What each of the codes [levels, frames] costs in `encode`, in bits; 0 where there is none or the frame repeats."""
        codes, bits = np.array(codes, np.int64), np.zeros(codes.shape)
        priced = (codes >= 0) & ~_repeated(codes)
        for start in range(0, codes.shape[1], PORTION):
            lead = min(start, 2)  # frames before, that tell what is likely
            portion = slice(start - lead, start + PORTION)
            for level, known in enumerate(self._known(codes[:, portion])):
                frames = lead + np.flatnonzero(priced[level, start : start + PORTION])
                frequencies = self._frequencies(level, known[frames]).astype(np.float64)
                own = np.take_along_axis(frequencies, codes[level, portion][frames, None], 1)[:, 0]
                bits[level, start - lead + frames] = np.log2(frequencies.sum(1) / own)
        return bits

    def _known(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """As `TokenPrior.known`, of codes [levels, frames]."""
        tokens = torch.from_numpy(codes.astype(np.int64, copy=False))  # no copy: `decode` fills them in
        return (known[0].numpy() for known in self._prior.known(tokens[None], self._codewords))

    def _frequencies(self, level: int, known: np.ndarray) -> np.ndarray:
        """Frequencies [frames, size] of a level's codewords, as `TokenPrior.logarithms` has them."""
        (describe, shift), (tell, shift_told) = self._layers[level]
        described = np.rint(known @ describe + shift).clip(0, ACTIVATION_LIMIT)
        prices = described @ tell
        prices += shift_told
        np.subtract(prices.max(1, keepdims=True), prices, out=prices)
        np.minimum(np.rint(prices, out=prices), len(_FREQUENCIES) - 1, out=prices)
        return _FREQUENCIES.take(prices.astype(np.intp))


def _weights(layer: ExactLinear, given: int, wanted: int) -> list[np.ndarray]:
    """Weights and shifts of a layer that takes multiples of 2^-given and returns multiples of 2^-wanted, both as integers."""
    weight, bias = (part.detach().numpy() for part in layer.rounded())
    return [np.ascontiguousarray(weight.T * np.float32(2.0 ** (wanted - given))), bias * np.float32(2.0**wanted)]


class _Repeats:
    """How likely a frame is the same as the one before: as often as so far, after one that was, and after one that was not."""

    def __init__(self):
        self._counts, self._before = np.array([[64, 1], [1, 1]], np.float32), 0

    def model(self):
        return _model(self._counts[self._before])

    def push(self, now: int) -> None:
        self._counts[self._before, now] += 1
        self._before = now


def _model(frequencies: np.ndarray):
    return constriction.stream.model.Categorical(frequencies, perfect=False)


def _repeated(codes: np.ndarray) -> np.ndarray:
    """Which frames of codes [levels, frames] are the same as the one before."""
    again = np.zeros(codes.shape[1], bool)
    again[1:] = (codes[:, 1:] == codes[:, :-1]).all(0)
    return again


def _frequency_table() -> np.ndarray:
    """Frequencies, float32 integers, of prices in eighths of a bit. Roots are exact on every machine, powers are not."""
    root = 0.5
    for _ in range(PRICE_BITS):
        root = math.sqrt(root)
    shares = itertools.accumulate(itertools.repeat(root, 255), lambda share, factor: share * factor, initial=1.0)
    return np.rint(2.0**PRECISION * np.array(list(shares))).clip(min=1).astype(np.float32)


_FREQUENCIES = _frequency_table()

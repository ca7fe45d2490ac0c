"""Tokens to bytes and back, as likely as `codec.tokens.prior` says, by range coding."""

from collections.abc import Iterator

import constriction
import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor

from codec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT, ExactLinear
from codec.onnx_graph import Graph, session
from codec.tokens.prior import PRICE_BITS, TokenPrior, seen

PRECISION = 16  # the greatest frequencies lie between 2^16 and 2^17
MANTISSA_BITS, EXPONENT_BIAS = 23, 127  # of float32

_CATEGORICAL = constriction.stream.model.Categorical(perfect=False)


class TokenCoder:
    """Codes [levels, frames] to bytes and back; -1 stands where a frame uses fewer levels."""

    def __init__(self, prior: TokenPrior, codebooks: Tensor):
        self._prior, self._codewords = prior, prior.codewords(codebooks)
        self._layers = list(map(_Layers, prior.describe, prior.tell))
        logarithms = -prior.depths.numpy().astype(np.int32)
        self._depths = [[_model(row) for row in _powers(rows, PRICE_BITS)] for rows in logarithms]

    def encode(self, codes: np.ndarray, mean: int) -> bytes:
        """Codes to bytes; trailing zero bytes are left out.

        Args:
            mean: about how many levels frames use on average, which tells how likely each number is; 0: all use as many.
        """
        coder = constriction.stream.queue.RangeEncoder()
        again, used = _repeated(codes), (codes >= 0).sum(0)
        if len(again) > 1:
            coder.encode(again[1:].astype(np.int32), _CATEGORICAL, _Repeats().expected(again[1:]))
        if mean:
            before = self._prior.levels + 1
            for depth in used[~again].tolist():
                coder.encode(depth, self._depths[mean][before])
                before = depth
        for level, known in enumerate(self._known(codes[None])):
            frames = (used > level) & ~again
            if frames.any():
                frequencies = self._layers[level].frequencies(known[0, frames])
                coder.encode(codes[level, frames].astype(np.int32), _CATEGORICAL, frequencies)
        return coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")

    def decode(self, payloads: list[bytes], frames: list[int], levels: int, mean: int) -> list[np.ndarray]:
        """Packets to the codes [levels, frames] that `encode` was given, side by side. Bytes that it never wrote give any codes.

        Args:
            frames: of each packet.
            levels, mean: of all packets.

        Raises:
            AssertionError: the bytes are none that an encoder writes.
        """
        packets = [self._open(payload, count, levels, mean) for payload, count in zip(payloads, frames, strict=True)]
        codes = np.full((len(packets), levels, max(frames, default=0)), -1, np.int64)
        used = np.zeros((len(packets), codes.shape[2]), np.int64)  # of frames that are told, not repeated
        original = np.tile(np.arange(codes.shape[2]), (len(packets), 1))  # what a repeated frame repeats
        for packet, (_, depths, origins) in enumerate(packets):
            used[packet, : len(depths)] = depths
            original[packet, : len(origins)] = origins
        coders = [coder for coder, _, _ in packets]
        self._decode_first(coders, codes[:, 0], used > 0, original)
        for level, known in enumerate(self._known(codes)):
            told = used > level
            if level and told.any():
                frequencies = self._layers[level].frequencies(known[told])
                ends = told.sum(1).cumsum()[:-1]
                for packet, likely in enumerate(np.split(frequencies, ends)):
                    codes[packet, level, told[packet]] = coders[packet].decode(_CATEGORICAL, likely)
                codes[:, level] = np.take_along_axis(codes[:, level], original, 1)
        return [found[:, :count] for found, count in zip(codes, frames, strict=True)]

    def _open(self, payload: bytes, frames: int, levels: int, mean: int):
        """A packet's range decoder at its first code; of each frame [frames] the number of levels told, and which it repeats."""
        words = np.frombuffer(payload + bytes(-len(payload) % 4), ">u4").astype(np.uint32)
        coder = constriction.stream.queue.RangeDecoder(words)
        again, repeats = np.zeros(frames, bool), _Repeats()
        for frame in range(1, frames):
            again[frame] = now = coder.decode(_model(repeats.counts))
            repeats.push(now)
        used, before = np.where(again, 0, levels), self._prior.levels + 1
        for frame in np.flatnonzero(~again) if mean else ():
            before = coder.decode(self._depths[mean][before])
            used[frame] = min(before, levels)
        return coder, used, np.maximum.accumulate(np.where(again, 0, np.arange(frames)))

    def _decode_first(self, coders: list, codes: np.ndarray, told: np.ndarray, original: np.ndarray) -> None:
        """Codes of the first level [packets, frames], of which each tells what is likely for the next two of its packet."""
        words = seen(self._codewords[0]).numpy()
        before = earlier = np.repeat(words[-1:], len(codes), axis=0)
        for frame in range(codes.shape[1]):
            packets = np.flatnonzero(told[:, frame])
            if len(packets):
                known = np.concatenate([before[packets], earlier[packets]], axis=1)
                for packet, likely in zip(packets, self._layers[0].frequencies(known), strict=True):
                    codes[packet, frame] = coders[packet].decode(_model(likely))
            codes[:, frame] = np.take_along_axis(codes, original[:, frame, None], 1)[:, 0]
            before, earlier = words[codes[:, frame]], before

    def bits(self, codes: np.ndarray) -> np.ndarray:
        """What each of the codes [levels, frames] costs in `encode`, in bits; 0 where there is none or the frame repeats."""
        bits, priced = np.zeros(codes.shape), (codes >= 0) & ~_repeated(codes)
        for level, known in enumerate(self._known(codes[None])):
            frames = np.flatnonzero(priced[level])
            frequencies = self._layers[level].frequencies(known[0, frames]).astype(np.float64)
            own = np.take_along_axis(frequencies, codes[level, frames, None], 1)[:, 0]
            bits[level, frames] = np.log2(frequencies.sum(1) / own)
        return bits

    def _known(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """As `TokenPrior.known`, of codes [packets, levels, frames]."""
        tokens = torch.from_numpy(codes.astype(np.int64, copy=False))  # no copy: `decode` fills them in
        return (known.numpy() for known in self._prior.known(tokens, self._codewords))


class _Layers:
    """The two layers of a level. The second, where the work is, multiplies integers of 8 bits.

    Its inputs have 7, so that no processor's pairwise sums of 16 bits overflow.
    """

    def __init__(self, describe: ExactLinear, tell: ExactLinear):
        weight, bias = (part.detach().numpy() for part in describe.rounded())
        self._describe = np.ascontiguousarray(weight.T * np.float32(2.0**ACTIVATION_BITS)), bias * 2.0**ACTIVATION_BITS
        weight, bias = (part.numpy() for part in tell.integers())
        graph = Graph()
        described = graph.input("described", "frames", weight.shape[1], kind=TensorProto.UINT8)
        product = graph.node("MatMulInteger", described, graph.constant(weight.T))
        told = graph.node("Add", product, graph.constant(bias))
        graph.output(told, "told", "frames", len(weight), kind=TensorProto.INT32)
        self._tell, self._bits = session(graph.finish("tell"), threads=1), tell.bias_bits

    def frequencies(self, known: np.ndarray) -> np.ndarray:
        """Frequencies [frames, size] of the level's codewords, as `TokenPrior.logarithms` has them."""
        weight, bias = self._describe
        described = np.rint(known @ weight + bias).clip(0, ACTIVATION_LIMIT).astype(np.uint8)
        (told,) = self._tell.run(None, {"described": described})
        return _powers(told, self._bits)


def _powers(logarithms: np.ndarray, bits: int) -> np.ndarray:
    """Frequencies [..., size], float32 integers, of logarithms to base 2, int32 in units of 2^-bits, which are used up.

    A float32 holds its exponent above its mantissa, so an integer that is read as one is the power of two that
    `codec.tokens.prior.straightened` means: nothing is computed that machines could round differently.
    """
    largest = logarithms.max(-1, keepdims=True) >> bits << bits
    logarithms -= largest - (PRECISION << bits)
    np.maximum(logarithms, 0, out=logarithms)
    logarithms <<= MANTISSA_BITS - bits
    logarithms += EXPONENT_BIAS << MANTISSA_BITS
    frequencies = logarithms.view(np.float32)
    return np.rint(frequencies, out=frequencies)


class _Repeats:
    """How likely a frame is the same as the one before: as often as so far, after one that was, and after one that was not."""

    def __init__(self):
        self._counts, self._before = np.array([[64, 1], [1, 1]], np.float32), 0

    @property
    def counts(self) -> np.ndarray:
        """How often the next frame was [different, the same]."""
        return self._counts[self._before]

    def push(self, now: int) -> None:
        self._counts[self._before, now] += 1
        self._before = now

    def expected(self, again: np.ndarray) -> np.ndarray:
        """The counts [frames, 2] ahead of each of the frames `again` [frames], which are pushed."""
        counts = np.empty((len(again), 2), np.float32)
        for frame, now in enumerate(again.astype(int).tolist()):
            counts[frame] = self.counts
            self.push(now)
        return counts


def _model(frequencies: np.ndarray):
    return constriction.stream.model.Categorical(frequencies, perfect=False)


def _repeated(codes: np.ndarray) -> np.ndarray:
    """Which frames of codes [levels, frames] are the same as the one before."""
    again = np.zeros(codes.shape[1], bool)
    again[1:] = (codes[:, 1:] == codes[:, :-1]).all(0)
    return again

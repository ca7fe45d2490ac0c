"""Tokens to bytes and back by range coding, with the likelihoods of the model's prior (`telucodec.networks.tokens.prior`)."""

import functools
import math
from collections.abc import Iterator

import constriction
import numpy as np
import onnxruntime

from telucodec.errors import DamagedPacketError
from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT, straightened_powers
from telucodec.models import Model

LAYERS = "describe.weight", "describe.bias", "tell.weight", "tell.bias"  # of the prior of one codebook

_CATEGORICAL = constriction.stream.model.Categorical(perfect=False)


class TokenCoder:
    """Codes [num_codebooks, frames] to bytes and back; -1 stands where a frame uses fewer codebooks."""

    def __init__(self, model: Model, codebooks: np.ndarray):
        """`codebooks` are those of the model [num_codebooks, codebook_size, latent_dim], float32."""
        self._model, self._count = model, len(codebooks)
        powers = [math.ldexp(1.0, int(exponent) + ACTIVATION_BITS) for exponent in model.weights["prior.exponents"]]
        words = np.rint(codebooks * np.array(powers, np.float32))
        self._codewords = np.pad(words, ((0, 0), (0, 1), (0, 0)))  # after the last of each codebook: none
        self._prior = functools.cache(self._make_prior)
        self._depths = functools.cache(self._make_depths)

    def _make_prior(self, codebook: int) -> "_Prior":
        parts = (name.split(".") for name in LAYERS)
        weights = {f"{layer}.{part}": self._model.weights[f"prior.{layer}.{codebook}.{part}"] for layer, part in parts}
        return _Prior(self._model.session("prior", weights), self._model.shape["prior_bits"])

    def _make_depths(self, mean: int) -> list:
        """For each depth of the frame before, how likely each depth of a frame is; the last is for the first frame."""
        logarithms = -self._model.weights["prior.depths"][mean].astype(np.int32)
        return [_distribution(row) for row in straightened_powers(logarithms, self._model.shape["depth_bits"])]

    def encode(self, codes: np.ndarray, mean: int) -> bytes:
        """Codes to bytes; trailing zero bytes are left out.

        Args:
            mean: about how many codebooks frames use on average, which says how likely each number is; 0: all use as many.
        """
        coder = constriction.stream.queue.RangeEncoder()
        again, depths = _repeated(codes), (codes >= 0).sum(0)
        if len(again) > 1:
            coder.encode(again[1:].astype(np.int32), _CATEGORICAL, _Repeats().expected(again[1:]))
        if mean:
            before = self._count + 1
            for depth in depths[~again].tolist():
                coder.encode(depth, self._depths(mean)[before])
                before = depth
        for codebook, context in enumerate(self._contexts(codes[None])):
            frames = (depths > codebook) & ~again
            if frames.any():
                frequencies = self._prior(codebook).frequencies(context[0, frames])
                coder.encode(codes[codebook, frames].astype(np.int32), _CATEGORICAL, frequencies)
        return coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")

    def decode(self, payloads: list[bytes], frames: list[int], num_codebooks: int, mean: int) -> list[np.ndarray]:
        """Packets to the codes [num_codebooks, frames] that `encode` was given, side by side.

        Args:
            frames: of each packet.
            num_codebooks, mean: of all packets.

        Raises:
            DamagedPacketError: no encoder writes these bytes. Other damage leads to other codes.
        """
        try:
            return self._decode(payloads, frames, num_codebooks, mean)
        except AssertionError as error:  # constriction met data that no encoder writes
            raise DamagedPacketError("the payload is not what an encoder writes") from error

    def _decode(self, payloads: list[bytes], frames: list[int], num_codebooks: int, mean: int) -> list[np.ndarray]:
        packets = [
            self._open(payload, count, num_codebooks, mean) for payload, count in zip(payloads, frames, strict=True)
        ]
        codes = np.full((len(packets), num_codebooks, max(frames, default=0)), -1, np.int64)
        depths = np.zeros((len(packets), codes.shape[2]), np.int64)  # of frames that do not repeat
        origin = np.tile(np.arange(codes.shape[2]), (len(packets), 1))  # the frame that a frame repeats, or itself
        for packet, (_, packet_depths, packet_origin) in enumerate(packets):
            depths[packet, : len(packet_depths)] = packet_depths
            origin[packet, : len(packet_origin)] = packet_origin
        coders = [coder for coder, _, _ in packets]
        self._decode_first(coders, codes[:, 0], depths > 0, origin)
        for codebook, context in enumerate(self._contexts(codes)):
            if not codebook:
                continue
            for packet, coder in enumerate(coders):  # the likelihoods of all at once would take much memory
                coded = depths[packet] > codebook
                if coded.any():
                    likely = self._prior(codebook).frequencies(context[packet, coded])
                    codes[packet, codebook, coded] = coder.decode(_CATEGORICAL, likely)
            codes[:, codebook] = np.take_along_axis(codes[:, codebook], origin, 1)
        return [decoded[:, :count] for decoded, count in zip(codes, frames, strict=True)]

    def _open(
        self, payload: bytes, frames: int, num_codebooks: int, mean: int
    ) -> tuple[constriction.stream.queue.RangeDecoder, np.ndarray, np.ndarray]:
        """A packet's range decoder at its first code; for each frame [frames] its depth, 0 if it repeats, and its origin."""
        words = np.frombuffer(payload + bytes(-len(payload) % 4), ">u4").astype(np.uint32)
        coder = constriction.stream.queue.RangeDecoder(words)
        again, repeats = np.zeros(frames, bool), _Repeats()
        for frame in range(1, frames):
            again[frame] = now = coder.decode(_distribution(repeats.counts))
            repeats.push(now)
        depths, before = np.where(again, 0, num_codebooks), self._count + 1
        for place in np.flatnonzero(~again) if mean else ():
            before = int(coder.decode(self._depths(mean)[before]))
            depths[place] = min(before, num_codebooks)
        return coder, depths, np.maximum.accumulate(np.where(again, 0, np.arange(frames)))

    def _decode_first(self, coders: list, codes: np.ndarray, coded: np.ndarray, origin: np.ndarray) -> None:
        """Codes of the first codebook [packets, frames], each of which says how likely the next two of its packet are."""
        words = _activations(self._codewords[0])
        before = earlier = np.repeat(words[-1:], len(codes), axis=0)
        for frame in range(codes.shape[1]):
            packets = np.flatnonzero(coded[:, frame])
            if len(packets):
                context = np.concatenate([before[packets], earlier[packets]], axis=1)
                for packet, likely in zip(packets, self._prior(0).frequencies(context), strict=True):
                    codes[packet, frame] = coders[packet].decode(_distribution(likely))
            codes[:, frame] = np.take_along_axis(codes, origin[:, frame, None], 1)[:, 0]
            before, earlier = words[codes[:, frame]], before

    def bits(self, codes: np.ndarray) -> np.ndarray:
        """The cost of each of the codes [num_codebooks, frames] in `encode`, in bits; 0 for -1 and in frames that repeat."""
        bits, priced = np.zeros(codes.shape), (codes >= 0) & ~_repeated(codes)
        for codebook, context in enumerate(self._contexts(codes[None])):
            frames = np.flatnonzero(priced[codebook])
            frequencies = self._prior(codebook).frequencies(context[0, frames]).astype(np.float64)
            own = np.take_along_axis(frequencies, codes[codebook, frames, None], 1)[:, 0]
            bits[codebook, frames] = np.log2(frequencies.sum(1) / own)
        return bits

    def _contexts(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """The prior's inputs [packets, frames, 2 * latent_dim] for each codebook in turn, of codes [packets, codebooks, frames].

        The codes of a codebook are read when the next is asked for, so that `decode` can fill them in.
        """
        sums = self._codewords[0][codes[:, 0]]
        before = _earlier(sums)
        yield _activations(before, _earlier(before))
        for codebook in range(1, codes.shape[1]):
            yield _activations(sums, _earlier(sums))
            sums = sums + self._codewords[codebook][codes[:, codebook]]


class _Prior:
    """The likelihoods of one codebook's words."""

    def __init__(self, network: onnxruntime.InferenceSession, bits: int):
        self._network, self._bits = network, bits

    def frequencies(self, context: np.ndarray) -> np.ndarray:
        """Frequencies [count, codebook_size] after `context` [count, 2 * latent_dim]."""
        (logarithms,) = self._network.run(None, {"context": context})
        return straightened_powers(logarithms, self._bits)


class _Repeats:
    """How likely a frame is to repeat the one before: as often as so far, after one that did, and after one that did not."""

    def __init__(self) -> None:
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


def _distribution(frequencies: np.ndarray) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical(frequencies, perfect=False)


def _repeated(codes: np.ndarray) -> np.ndarray:
    """Which frames of codes [num_codebooks, frames] are the same as the one before."""
    again = np.zeros(codes.shape[1], bool)
    again[1:] = (codes[:, 1:] == codes[:, :-1]).all(0)
    return again


def _activations(*sums: np.ndarray) -> np.ndarray:
    """Sums of integer codewords [..., latent_dim] as activations, side by side."""
    limited = np.concatenate(sums, axis=-1).clip(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    return limited * np.float32(2.0**-ACTIVATION_BITS)


def _earlier(frames: np.ndarray) -> np.ndarray:
    """Those one frame before [..., frames, channels]; zeros before the first."""
    return np.concatenate([np.zeros_like(frames[..., :1, :]), frames[..., :-1, :]], axis=-2)

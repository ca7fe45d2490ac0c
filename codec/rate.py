"""The search for the quantiser step that gives a wanted SNR or a wanted size."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from codec.mdct import ExactMDCT
from codec.samples import energy, floats
from codec.waveform import entropy
from codec.waveform.model import LAST_STEP, PRICE, STEPS_PER_OCTAVE, Settings, WaveformCodec, guess, quantize

TRIED_SECONDS = 60.0  # of the recording, in pieces spread over it: where the search looks for its first guess
PIECE_SECONDS = 4.0
STEP_DECIBELS = 20 * math.log10(2) / STEPS_PER_OCTAVE
NEAR_DECIBELS = 0.06  # below the 0.1 dB promised, so that rounding cannot break the promise
NEAR_SHARE = 0.012  # of the rate, below the 2 % promised
ATTEMPTS = 10
START = 6 * STEPS_PER_OCTAVE

EncodeAt = Callable[[int], tuple[bytes, float]]  # a step to the file's bytes and the squared error


class Search:
    """Finds the step for one recording: a first guess on some of it, then the whole file, corrected until it fits."""

    def __init__(self, codec: WaveformCodec, audio: np.ndarray, settings: Callable[[int], tuple[int, int]]):
        self._codec, self._audio, self._settings = codec, audio, settings
        self._seconds = len(audio) / codec.config.sample_rate
        self._energy = energy(audio)
        self._sample = _pieces(codec, audio)

    def to_snr(self, wanted: float, encode_at: EncodeAt) -> bytes:
        """The file whose SNR is nearest to `wanted` dB."""

        def snr(step: int) -> tuple[bytes, float]:
            data, error = encode_at(step)
            return data, 10 * math.log10(self._energy / max(error, 1e-30))

        start = _bisect(lambda step: self._guessed_snr(step) < wanted)
        return _approach(snr, wanted, start, STEP_DECIBELS, NEAR_DECIBELS, 0.1, "dB SNR")

    def to_kbps(self, wanted: float, encode_at: EncodeAt) -> bytes:
        """The file whose rate is nearest to `wanted` kbit/s."""

        def log_rate(step: int) -> tuple[bytes, float]:
            data, _ = encode_at(step)
            return data, math.log(8 * len(data) / self._seconds / 1000)

        start = _bisect(lambda step: self._guessed_kbps(step) < wanted)
        return _approach(log_rate, math.log(wanted), start, 0.0075, NEAR_SHARE, 0.02, "kbps")

    def _guessed_snr(self, step: int) -> float:
        error = self._sample - self._codec.expand(self._guess(step)[0], self._at(step))
        return 10 * math.log10(float(self._sample.square().sum()) / max(float(error.square().sum()), 1e-30))

    def _guessed_kbps(self, step: int) -> float:
        integers, given = self._guess(step)
        bits = float(self._codec.prices(integers.abs(), given).sum())
        return bits / self._sample.numel() * self._codec.config.sample_rate / 1000

    def _guess(self, step: int) -> tuple[Tensor, entropy.Symbols]:
        values = self._codec.compress(self._sample, self._at(step))
        given = guess(values)
        return quantize(values, given, self._codec.prices, PRICE), given

    def _at(self, step: int) -> Settings:
        return Settings.of(*self._settings(step))


def _pieces(codec: WaveformCodec, audio: np.ndarray) -> Tensor:
    """Coefficients [1, frames, bins] of pieces spread evenly over audio."""
    hop, transform = codec.config.hop, ExactMDCT(codec.config.hop)
    size = round(PIECE_SECONDS * codec.config.sample_rate)
    count = min(math.ceil(len(audio) / size), round(TRIED_SECONDS / PIECE_SECONDS))
    frames = []
    for start in np.linspace(0, max(len(audio) - size, 0), count).astype(int):
        piece = floats(audio[start : start + size])
        padded = np.pad(piece, (0, -len(piece) % hop + hop))
        frames.append(transform.analyse(transform.silence(), torch.from_numpy(np.ascontiguousarray(padded)))[0])
    return torch.cat(frames)[None].float()


def _bisect(too_coarse: Callable[[int], bool]) -> int:
    """The first step that is not too coarse."""
    low, high = 0, LAST_STEP
    while high - low > 4:
        middle = (low + high) // 2
        low, high = (middle, high) if too_coarse(middle) else (low, middle)
    return high


def _approach(
    measure: Callable[[int], tuple[bytes, float]],
    wanted: float,
    step: int,
    slope: float,
    near: float,
    allowed: float,
    unit: str,
) -> bytes:
    """The file at the step whose measure comes nearest to `wanted`; the measure grows by about `slope` a step.

    Raises:
        ValueError: no step comes as near as `allowed`.
    """
    tried: dict[int, tuple[bytes, float]] = {}
    for _ in range(ATTEMPTS):
        if step in tried:
            break
        tried[step] = measure(step)
        distance = tried[step][1] - wanted
        if abs(distance) <= near:
            break
        below = [other for other in tried if tried[other][1] < wanted]
        above = [other for other in tried if tried[other][1] >= wanted]
        moved = round(step - distance / slope) or step - int(math.copysign(1, distance))
        if below and above:  # between the nearest on either side
            low, high = max(below), min(above)
            share = (wanted - tried[low][1]) / (tried[high][1] - tried[low][1])
            moved = low + min(max(round(share * (high - low)), 1), max(high - low - 1, 1)) if high - low > 1 else low
        step = min(max(moved, 0), LAST_STEP)
    best = min(tried, key=lambda other: abs(tried[other][1] - wanted))
    reached = tried[best][1]
    if abs(reached - wanted) > allowed:
        shown = (lambda value: f"{math.exp(value):.2f}") if unit == "kbps" else (lambda value: f"{value:.2f}")
        raise ValueError(
            f"{shown(wanted)} {unit} is out of reach for this recording; the nearest is {shown(reached)} {unit}"
        )
    return tried[best][0]

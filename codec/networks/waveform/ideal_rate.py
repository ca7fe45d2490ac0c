"""Estimates from the network of a waveform codec alone, without coding a file: rates of an ideal coder, and centroids."""

import math

import torch
from torch import Tensor

from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.model import Settings, WaveformCodec
from telucodec.waveform.grids import (
    CENTROID_BITS,
    CENTROID_MAGNITUDES,
    LAST_STEP,
    LEVEL_UNIT,
    PIVOT,
    STEPS_PER_OCTAVE,
    UNITY,
    WIDES,
)

SPREAD = STEPS_PER_OCTAVE // 8  # how many steps around the first guess to measure rates, which are then interpolated
SIDE_BY_SIDE = 4  # items whose centroids are measured at once: what the network works on stays near the processor
CENTROID_STEPS = (-1.0, 0), (-3.0, 0), (-5.0, 0), (-0.5, 8), (-2.0, 8)  # `settings_for` for measuring centroids
LEAST_COUNT = 100  # values from which a centroid is estimated; with fewer it stays zero


@torch.no_grad()
def ideal_rate(codec: WaveformCodec, audio: Tensor, snr: float) -> float:
    """Mean kbit/s at which an ideal coder reaches `snr` dB on audio [samples], coded as one packet.

    Audio that is too quiet for the steps has the rate of silence.
    """
    coefficients = codec.mdct(audio[None])
    near = step_for(coefficients, snr)
    (low, low_bits), (high, high_bits) = (_code(codec, coefficients, near + offset) for offset in (-SPREAD, SPREAD))
    bits = high_bits if high == low else low_bits + (snr - low) / (high - low) * (high_bits - low_bits)
    return bits / len(audio) * codec.config.sample_rate / 1000


def step_for(coefficients: Tensor, snr: float) -> int:
    """The step at which plain rounding with a dead zone comes closest to `snr` dB."""
    low, high = 0, LAST_STEP
    while high - low > 1:
        step = (low + high) // 2
        size = 2.0 ** (-step / STEPS_PER_OCTAVE)
        magnitude = coefficients.abs() / size
        rounded = torch.floor(magnitude + 0.25)
        if _decibels(coefficients, (magnitude - rounded) * size) < snr:
            low = step
        else:
            high = step
    return high


def _code(codec: WaveformCodec, coefficients: Tensor, step: int) -> tuple[float, float]:
    """SNR in dB and bits of coefficients [1, frames, bins] at a step."""
    grid = codec.grid(coefficients, Settings.of(min(max(step, 0), LAST_STEP), device=coefficients.device))
    integers, parameters = codec.choose(coefficients, grid)
    decoded = codec.reconstruct(integers, entropy.kinds(parameters)) * grid.steps
    return _decibels(coefficients, coefficients - decoded), float(entropy.bits(integers, parameters).sum())


def _decibels(signal: Tensor, error: Tensor) -> float:
    energy, lost = (max(float(part.double().square().sum()), 1e-20) for part in (signal, error))
    return 10 * math.log10(energy / lost)


@torch.no_grad()
def shaped_rate(codec: WaveformCodec, audio: Tensor, octaves: float, shaping: int) -> float:
    """Mean kbit/s of an ideal coder of audio [samples], levels included, at the settings of `settings_for`."""
    coefficients = codec.mdct(audio[None])
    grid = codec.grid(coefficients, settings_for(coefficients, octaves, shaping))
    integers, parameters = codec.choose(coefficients, grid)
    bits = float(entropy.bits(integers, parameters).sum() + codec.levels(grid.levels).sum())
    return bits / len(audio) * codec.config.sample_rate / 1000


def settings_for(coefficients: Tensor, octaves: float | Tensor, shaping: int | Tensor) -> Settings:
    """Settings with steps that lie `octaves` above the RMS of coefficients [batch, frames, bins], where the level is that RMS.

    `octaves` and `shaping` are those of all packets, or [batch].
    """
    level = torch.log2(coefficients.square().mean((1, 2)).clamp(min=1e-10)) / 2
    shapings = torch.as_tensor(shaping, device=level.device).expand(level.shape)
    pivot = (PIVOT - UNITY) * LEVEL_UNIT / STEPS_PER_OCTAVE
    step = -STEPS_PER_OCTAVE * (level + octaves - shapings / 16 * (level - pivot))
    return Settings(step.round().clamp(0, LAST_STEP).long(), shapings)


@torch.no_grad()
def measure_centroids(codec: WaveformCodec, audio: Tensor) -> None:
    """Set what stands for integers, by scale and magnitude, from audio [batch, samples].

    That is the mean offset of the values from the integer that they are coded as, and the RMS of those that are coded as 0.
    """
    sums = torch.zeros(codec.centroids.numel(), dtype=torch.float64)
    counts = torch.zeros_like(sums)
    for coefficients in map(codec.mdct, audio.split(SIDE_BY_SIDE)):
        for octaves, shaping in CENTROID_STEPS:
            grid = codec.grid(coefficients, settings_for(coefficients, octaves, shaping))
            integers, parameters = codec.choose(coefficients, grid)
            values = coefficients / grid.steps
            scale = entropy.kinds(parameters) // WIDES
            magnitude = integers.abs().long().clamp(max=CENTROID_MAGNITUDES - 1)
            place = (scale * CENTROID_MAGNITUDES + magnitude).flatten().cpu()
            offset = torch.where(magnitude > 0, (values - integers) * integers.sign(), values.square()).double()
            sums.index_add_(0, place, offset.flatten().cpu())
            counts.index_add_(0, place, torch.ones_like(sums[:1]).expand(len(place)))
    mean = torch.where(counts >= LEAST_COUNT, sums / counts.clamp(min=1), 0.0).view_as(codec.centroids)
    mean[:, 0].sqrt_()
    codec.centroids.copy_((mean * 2**CENTROID_BITS).round())

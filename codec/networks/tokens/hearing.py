"""Perceptual distances between speech and coded speech, by two models of hearing, in differentiable form."""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional

from telucodec.networks.tokens.stft import stft

# Tables of ITU-T P.862.2 for 16 kHz, with one value per Bark band.
# fmt: off
BAND_BINS = (  # bins of a 512-point spectrum
    1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1,
    2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 3, 4, 5, 4,
    5, 6, 6, 7, 8, 9, 9, 12, 12, 15, 16, 18, 21, 25, 20,
)
THRESHOLD = (  # threshold of hearing, dB
    77.1, 63.9, 48.5, 36.9, 30.7, 25.9, 20.2, 16.6, 12.5, 9.9, 6.9, 4.9, 2.8, 1, -0.1, -1.4, -2.5,
    -3.4, -4.1, -4.8, -5.3, -5.7, -5.9, -6, -6, -6, -6, -5.8, -5.4, -5.1, -4.7, -4.3, -4, -3.6,
    -3.3, -3.1, -3, -3, -2.9, -2.8, -2.8, -2.8, -2.9, -3.2, -3.7, -4.3, -4.4, -3.8, -2.7,
)
DENSITY = (  # converts the sum over a band's bins to a density
    100, 100, 100, 100, 100, 100, 100, 100, 50, 100, 100, 100, 100, 100, 53, 110, 118,
    65, 68.8, 70, 71.4, 75, 76.8, 81, 88.6, 63.9, 68.2, 72.5, 75.6, 58.4, 81, 64.1, 54.4, 73.8,
    64.4, 59.2, 65.5, 61.4, 58.1, 57, 64.1, 54.3, 61.1, 55.1, 56.8, 55.6, 53.1, 55, 79.5,
)
# fmt: on
POWER_TO_DENSITY = 6.910853e-6
NARROWEST, WIDENING = 0.318, 1.0131  # bark, width of the second band; ratio of the widths of neighbouring bands
SAMPLE_RATE = 16000  # Hz
SPECTRUM = 512  # samples
LISTENING_BAND, LISTENING_POWER = (325, 3250), 1.05e7  # Hz; mean square to which P.862 scales 16-bit samples
ZWICKER = 0.23  # exponent of loudness
LOUDNESS_SCALE = 0.1866
SPELL = 20  # frames within which the worst ones dominate, 0.3 s
SHORTEST = 8000  # samples; shorter signals are padded with silence


def loudness_distance(audio: Tensor, output: Tensor) -> Tensor:
    """Disturbance [batch] of output [batch, samples] against audio [batch, samples] at 16 kHz; 0: none, 4.5: PESQ's worst.

    This is the perceptual model of ITU-T P.862.2 (wideband PESQ) without time alignment: it compares loudness over Bark
    bands, where additions weigh more than omissions. PESQ is 0.999 + 4 / (1 + exp(1.3669 distance - 2.329)).
    """
    spectra = [_band_powers(_padded(signal)) for signal in (audio, output)]
    threshold, exponent, width = _bands(audio.device)
    clear = 100 * threshold
    silent = (spectra[0] * (spectra[0] > clear)).sum(2, keepdim=True) < 1e7
    mean, mean_output = ((power * (power > clear) * ~silent).mean(1, keepdim=True) for power in spectra)
    reference = spectra[0] * ((mean_output + 1000) / (mean + 1000)).clamp(0.01, 100)
    audible, audible_output = ((power * (power > threshold)).sum(2, keepdim=True) for power in (reference, spectra[1]))
    gain = (audible + 5e3) / (audible_output + 5e3)
    gain = torch.cat([gain[:, :1], 0.8 * gain[:, 1:] + 0.2 * gain[:, :-1]], 1).clamp(3e-4, 5)
    powers = reference, spectra[1] * gain
    loudness, loudness_output = (
        LOUDNESS_SCALE
        * (2 * threshold) ** exponent
        * ((0.5 + 0.5 * power.clamp(min=threshold) / threshold) ** exponent - 1)
        for power in powers
    )
    difference = loudness_output - loudness
    masked = 0.25 * torch.minimum(loudness, loudness_output)
    disturbance = difference.sign() * (difference.abs() - masked).clamp(min=0)
    ratio = ((powers[1] + 50) / (powers[0] + 50)) ** 1.2
    asymmetry = torch.where(ratio < 3, torch.zeros_like(ratio), ratio.clamp(max=12))
    total = width[1:].sum()
    symmetric = total.sqrt() * ((disturbance * width)[..., 1:].square().sum(2) + 1e-12).sqrt()
    asymmetric = (disturbance.abs() * asymmetry * width)[..., 1:].sum(2)
    importance = ((audible[..., 0] + 1e5) / 1e7) ** 0.04
    symmetric, asymmetric = ((part / importance).clamp(max=45) for part in (symmetric, asymmetric))
    return 0.1 * _emphasize_worst(symmetric) + 0.0309 * _emphasize_worst(asymmetric)


def envelope_distance(audio: Tensor, output: Tensor) -> Tensor:
    """One minus the correlation [batch] of third-octave envelopes over 0.4 s, of audio and output [batch, samples] at 16 kHz.

    After the intelligibility measure STOI (Taal et al., IEEE TASLP 19, 2011), but pauses are left out segment by segment.
    """
    envelope, envelope_output = (_third_octaves(_padded(signal)) for signal in (audio, output))
    energy = envelope.square().sum(2).unfold(1, 30, 5).sum(2)
    active = (energy > 1e-3 * energy.amax(1, keepdim=True)).float()
    envelope, envelope_output = (part.unfold(1, 30, 5) for part in (envelope, envelope_output))
    gain = envelope.norm(dim=3, keepdim=True) / (envelope_output.norm(dim=3, keepdim=True) + 1e-6)
    envelope_output = torch.minimum(envelope_output * gain, envelope * (1 + 10 ** (15 / 20)))
    envelope, envelope_output = (part - part.mean(3, keepdim=True) for part in (envelope, envelope_output))
    norms = envelope.norm(dim=3) * envelope_output.norm(dim=3)
    correlation = ((envelope * envelope_output).sum(3) / (norms + 1e-6)).mean(2)
    return 1 - (correlation * active).sum(1) / active.sum(1)


def _padded(signal: Tensor) -> Tensor:
    return functional.pad(signal.float(), (0, max(SHORTEST - signal.shape[1], 0)))


def _emphasize_worst(disturbance: Tensor) -> Tensor:
    """Mean over time that is dominated by the worst frames: [batch, frames] to [batch].

    It is the root mean square over half-overlapping spells of the sixth-power mean within each.
    """
    spells = disturbance.unfold(1, SPELL, SPELL // 2)
    return (((spells**6).mean(2) + 1e-9) ** (1 / 6)).square().mean(1).sqrt()


def _band_powers(signal: Tensor) -> Tensor:
    """Power densities [batch, frames, bands] of signals [batch, samples], at the listening level of PESQ."""
    spectrum = torch.fft.rfft(signal).abs().square()
    low, high = (round(edge * signal.shape[1] / SAMPLE_RATE) for edge in LISTENING_BAND)
    power = 2 * spectrum[:, low:high].sum(1) / signal.shape[1] ** 2
    window = torch.hann_window(SPECTRUM, device=signal.device)
    frames = stft(signal, SPECTRUM, SPECTRUM // 2, window, center=False)
    powers = frames.abs().square().transpose(1, 2) * (LISTENING_POWER / (power + 1e-10))[:, None, None]
    return powers @ _filters(signal.device)


@functools.cache
def _filters(device: torch.device) -> Tensor:
    """Matrix [257, 49] from bins to bands, including the headphone filter of P.862.2."""
    z = torch.exp(-2j * math.pi * torch.arange(SPECTRUM // 2 + 1) / SPECTRUM)
    headphones = (2.740826 * (1 - z) ** 2 / (1 - 1.9444777 * z + 0.94597794 * z**2)).abs().square()
    filters = torch.zeros(SPECTRUM // 2 + 1, len(BAND_BINS))
    start = 0
    for band, bins in enumerate(BAND_BINS):
        filters[start : start + bins, band] = POWER_TO_DENSITY * DENSITY[band]
        start += bins
    filters[0] = 0
    return (headphones[:, None] * filters).to(device)


@functools.cache
def _bands(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each band: threshold of hearing as a density, exponent of loudness, and width in bark."""
    threshold = 10 ** (torch.tensor(THRESHOLD) / 10)
    width = NARROWEST * WIDENING ** torch.arange(-1.0, len(THRESHOLD) - 1)
    width[0] = NARROWEST / 2
    centre = width.cumsum(0) - width / 2
    exponent = ZWICKER * (6 / (centre + 2)).clamp(1, 2) ** 0.15
    return threshold.to(device), exponent.to(device), width.to(device)


def _third_octaves(signal: Tensor) -> Tensor:
    """Envelopes [batch, frames of 12.5 ms, 15 bands from 150 Hz upwards] of signals [batch, samples]."""
    size, hop, window = 512, 200, torch.hann_window(400, device=signal.device)
    spectrum = stft(signal, size, hop, window)
    frequencies = torch.arange(size // 2 + 1, device=signal.device) * SAMPLE_RATE / size
    centres = 150 * 2 ** (torch.arange(15, device=signal.device) / 3)
    edges = 2 ** (1 / 6)
    filters = (frequencies[:, None] >= centres / edges) & (frequencies[:, None] < centres * edges)
    return (spectrum.abs().square().transpose(1, 2) @ filters.float() + 1e-7).sqrt()

"""`telucodec.vocoder.analysis` on batches of tensors: whole recordings to codes of pitch and phase, and spectra.

Training analyses every crop anew, on the device where it trains. Apart from rounding the results are those of NumPy.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from telucodec.networks.tokens.excitation import Codewords, Course, course
from telucodec.vocoder import envelope as spectral
from telucodec.vocoder import phase as phases
from telucodec.vocoder import pitch as pitches
from telucodec.vocoder.analysis import UNVOICED
from telucodec.vocoder.filters import KNOTS, tables
from telucodec.vocoder.frames import HISTORY, HOP, SAMPLE_RATE, STEP, WINDOW
from telucodec.vocoder.pitch import PERIODICITIES
from telucodec.vocoder.source import cycles

PORTION = 8  # recordings that fit into the cache of a processor


class Described(NamedTuple):
    """What is coded of recordings."""

    codes: Tensor  # [batch, 2, frames], int64, of pitch and phase
    levels: Tensor  # [batch, frames, FEATURES], float32


class Constants(NamedTuple):
    """Tables for a codebook size, float64."""

    lags: Tensor  # [pitches], int64: the places of periods in an autocorrelation, rounded down
    part: Tensor  # [pitches], what the rounding took
    own: Tensor  # [pitches], the autocorrelation of the window at these places, flattened as those of speech
    price: Tensor  # [pitches, pitches], of a jump
    preference: Tensor  # [pitches]
    hann: Tensor  # [WINDOW]
    band: Tensor  # [FFT / 2 + 1]
    centred: Tensor  # [FFT / 2 + 1], complex
    windows: Tensor  # [pitches + 1, WINDOW], for the envelope; the last one where there is no pitch
    lifters: Tensor  # [pitches + 1, FFT of the envelope]
    points: Tensor  # [POINTS], the bins where levels are read
    numbers: Tensor  # [HARMONICS], from 1
    knots: Tensor  # [KNOTS], Hz, on the mel scale
    phases: Tensor  # [POINTS, bins], of filters of minimum phase


@torch.no_grad()
def described(words: Codewords, audio: Tensor) -> Described:
    """Describe recordings [batch, frames * HOP] from their start; each hop completes a frame.

    Args:
        words: what codes stand for, on the device of the audio.
    """
    portions = audio.split(PORTION) if audio.device.type == "cpu" else [audio]
    return Described(*map(torch.cat, zip(*(_described(words, portion) for portion in portions), strict=True)))


def _described(words: Codewords, audio: Tensor) -> Described:
    constants = _constants(len(words.frequencies), audio.device)
    line = functional.pad(audio.double(), (HISTORY, 0))
    late = line[:, STEP:].unfold(1, WINDOW, HOP)
    early = line.unfold(1, WINDOW, HOP)[:, : late.shape[1]]
    seen = torch.fft.rfft(late * constants.hann, pitches.FFT)
    pitch = _pitch(constants, seen)
    held, voiced = pitch.new_zeros(len(pitch)), torch.zeros(len(pitch), dtype=torch.bool, device=pitch.device)
    track = course(words, pitch, held, voiced)
    which = torch.where(track.voiced, pitch // len(PERIODICITIES), len(constants.windows) - 1)
    frequency = torch.where(track.voiced, track.after, UNVOICED)
    levels = [_envelope(constants, segments, which, frequency) for segments in (early, late)]
    phase = _phase(constants, words, _harmonics(constants, seen, track, levels[1]), track)
    return Described(torch.stack([pitch, phase], dim=1), torch.cat(levels, dim=2).float())


@functools.cache
def _constants(codebook_size: int, device: torch.device) -> Constants:
    grid = pitches.PitchCodes(codebook_size).grid
    lags = pitches.lags(grid)
    below = lags.astype(np.int64)
    jumps, preference = pitches.prices(grid)
    all_pitches = np.append(grid, UNVOICED)[:, None]
    values = (
        below,
        lags - below,
        pitches.own_periodicity(grid),
        jumps,
        preference,
        pitches.window(),
        pitches.band(),
        phases.centred(),
        spectral.window(all_pitches),
        spectral.lifter(all_pitches),
        spectral.centres(spectral.POINTS) / spectral.BINS,
        np.arange(1.0, phases.HARMONICS + 1),
        spectral.mel(KNOTS),
        tables().phases,
    )
    return Constants(*(torch.from_numpy(np.ascontiguousarray(value)).to(device) for value in values))


def _pitch(constants: Constants, seen: Tensor) -> Tensor:
    """As `PitchTracker`: spectra [batch, frames, FFT / 2 + 1] to codes [batch, frames]."""
    power = _power(seen)
    correlation = torch.fft.irfft(power**pitches.EXPONENT * constants.band, pitches.SCALE * pitches.FFT)
    correlation = correlation / correlation[..., :1].clamp(min=1e-20)
    there, next_to = (correlation.index_select(2, constants.lags + more) for more in (0, 1))
    strength = (there * (1 - constants.part) + next_to * constants.part) / constants.own
    level = 10 * torch.log10(power.mean(2) / pitches.ENERGY + 1e-12)
    weight = ((level - pitches.LOUD) / pitches.RANGE).clamp(0.05, 1) * (level > pitches.LOUD)
    scores = (strength.clamp(min=0) + constants.preference) * weight[..., None]
    best, found = torch.zeros_like(scores[:, 0]), []
    for score in scores.unbind(1):
        best = score + (best[:, None] - constants.price).amax(2)
        top, place = best.max(1, keepdim=True)
        best = (best - top).clamp(min=pitches.FORGOTTEN)
        found.append(place)
    grid = torch.cat(found, dim=1)
    reached = strength.gather(2, grid[..., None])
    kind = sum((reached[..., 0] > limit).long() for limit in pitches.LIMITS) * (weight > 0)
    # Where there is no pitch, the last one stays.
    places = torch.arange(grid.shape[1], device=grid.device)
    last = torch.where(kind > 0, places, -1).cummax(1).values
    held = torch.where(last < 0, 0, grid.gather(1, last.clamp(min=0)))
    return held * len(PERIODICITIES) + kind


def _envelope(constants: Constants, segments: Tensor, which: Tensor, frequency: Tensor) -> Tensor:
    """As `telucodec.vocoder.envelope.envelope`: segments [batch, frames, WINDOW] to levels [batch, frames, POINTS].

    Args:
        which: [batch, frames], the row of the tables for pitches.
        frequency: [batch, frames], the pitch in Hz.
    """
    window = constants.windows[which]
    seen = segments * window
    seen = seen - window * (seen.sum(2, keepdim=True) / window.sum(2, keepdim=True))
    power = _power(torch.fft.rfft(seen, spectral.FFT))
    # What lies between 0 Hz and the pitch mirrors what lies above.
    end = int(pitches.HIGHEST / spectral.BINS) + 1
    mirrored = frequency[..., None] / spectral.BINS - torch.arange(end, device=power.device)
    more = torch.where(mirrored > 0, _interpolated(power, mirrored.clamp(min=0)), 0)
    power = torch.cat([power[..., :end] + more, power[..., end:]], dim=2)
    logarithms = (_averages(power, spectral.WIDTH / spectral.BINS * frequency) + spectral.FLOOR).log()
    cepstrum = torch.fft.irfft(logarithms, spectral.FFT)
    smooth = torch.fft.rfft(cepstrum * constants.lifters[which]).real
    return 0.5 * _interpolated(smooth, constants.points.expand(*smooth.shape[:2], -1))


def _averages(power: Tensor, width: Tensor) -> Tensor:
    """The means of power spectra [batch, frames, bins] over a width [batch, frames] in bins around each bin."""
    margin, bins = spectral.MARGIN, power.shape[2]
    before, after = power[..., 1 : margin + 1].flip(2), power[..., -margin - 1 : -1].flip(2)
    sums = functional.pad(torch.cat([before, power, after], dim=2).cumsum(2), (1, 0))
    every = torch.arange(bins, device=power.device)
    start = (margin + 0.5 - width / 2)[..., None]
    low, high = (_interpolated(sums, place + every) for place in (start, start + width[..., None]))
    return (high - low).clamp(min=0) / width[..., None]


def _harmonics(constants: Constants, seen: Tensor, track: Course, levels: Tensor) -> Tensor:
    """As `telucodec.vocoder.phase.harmonics`: [batch, frames, HARMONICS], complex."""
    places = _places(constants, track)
    highest = int(phases.HIGHEST / (SAMPLE_RATE / pitches.FFT)) + 2
    centred = seen[..., :highest] * constants.centred[:highest]
    found = _interpolated(centred, places / (SAMPLE_RATE / pitches.FFT)) * (places < phases.HIGHEST)
    minimum = _interpolated(levels @ constants.phases, places / phases.spacing())
    return found * found.abs() * _unit(-minimum)


def _places(constants: Constants, track: Course) -> Tensor:
    """The frequencies [batch, frames, HARMONICS] of the harmonics, in Hz."""
    return ((track.before + track.after) / 2)[..., None] * constants.numbers


def _phase(constants: Constants, words: Codewords, harmonics: Tensor, track: Course) -> Tensor:
    """As `PhaseTracker`: harmonics [batch, frames, HARMONICS] to codes [batch, frames]."""
    turns = phases.turns_of(len(words.turns))
    shapes = words.angles[: len(words.turns) // turns]
    distinct = words.turns[:: len(shapes)][:turns]
    place = 2595 * torch.log10(1 + _places(constants, track) / 700)
    weights = _tents(place, constants.knots)  # [batch, frames, KNOTS, HARMONICS]
    turned = _unit(-(shapes @ weights)).transpose(2, 3)  # [batch, frames, HARMONICS, shapes]
    once = -2 * torch.pi * constants.numbers  # radians by which a cycle turns the harmonics back
    rotations, price = _unit(distinct[:, None] * once), phases.UNREST * distinct.square()[:, None]
    middles, ends = (cycles(track.before, track.after, count) for count in (STEP + 1, HOP))
    scaled = harmonics / (harmonics.abs().sum(2, keepdim=True) + 1e-20) * _unit(middles[..., None] * once)
    phase, codes = torch.zeros_like(ends[:, 0]), []
    for frame in range(harmonics.shape[1]):  # few operators: a GPU waits for each to be launched
        phase = phase * ~track.onset[:, frame]
        pulses = scaled[:, frame] * _unit(phase[:, None] * once)
        scores = ((rotations * pulses[:, None]) @ turned[:, frame]).real - price
        code = scores.flatten(1).argmax(1) * track.voiced[:, frame]
        phase = (phase + ends[:, frame] + words.turns[code]) % 1.0
        codes.append(code)
    return torch.stack(codes, dim=1)


def _unit(angles: Tensor) -> Tensor:
    """Complex numbers of magnitude 1 with these angles, in radians."""
    return torch.polar(torch.ones_like(angles), angles)


def _tents(places: Tensor, known: Tensor) -> Tensor:
    """As `telucodec.vocoder.envelope.between`, of places [..., HARMONICS] and knots [KNOTS] in mel: [..., KNOTS, HARMONICS]."""
    index = torch.searchsorted(known, places).clamp(1, len(known) - 1)
    below, above = known[index - 1], known[index]
    at = (index - 1 + (places - below) / (above - below)).clamp(0, len(known) - 1)
    return (1 - (at[..., None, :] - torch.arange(len(known), device=at.device)[:, None]).abs()).clamp(0, 1)


def _power(spectra: Tensor) -> Tensor:
    return spectra.real.square() + spectra.imag.square()


def _interpolated(rows: Tensor, places: Tensor) -> Tensor:
    """Values of rows [..., length] at places [..., count] between their elements."""
    below = places.long().clamp(max=rows.shape[-1] - 2)
    part = (places - below).clamp(max=1)
    return rows.gather(-1, below) * (1 - part) + rows.gather(-1, below + 1) * part

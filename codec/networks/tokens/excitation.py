"""`telucodec.tokens.excitation` on batches of tensors: codes of pitch and phase to what the filters work on."""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from telucodec.noise import noise
from telucodec.vocoder.filters import KNOTS
from telucodec.vocoder.frames import HOP, SAMPLE_RATE, STEP
from telucodec.vocoder.phase import PhaseCodes
from telucodec.vocoder.pitch import PERIODICITIES, PitchCodes
from telucodec.vocoder.source import HIGHEST_HARMONIC, NEAR_PULSE, cycles


class Codewords(NamedTuple):
    """What codes of pitch and phase stand for."""

    frequencies: Tensor  # [codebook_size], Hz
    periodicities: Tensor  # [codebook_size]
    turns: Tensor  # [codebook_size], cycles
    angles: Tensor  # [codebook_size, KNOTS], radians


class State(NamedTuple):
    """What the excitation of recordings remembers between two calls."""

    pitch: Tensor  # [batch], the last code
    voiced: Tensor  # [batch], bool
    phase: Tensor  # [batch], cycles
    angles: Tensor  # [batch, KNOTS]
    samples: Tensor  # [2 (pulses, noise), batch, STEP], the last ones
    number: int  # of the next sample


class Excited(NamedTuple):
    """As `telucodec.tokens.excitation.Excited`, float32."""

    windows: Tensor  # [2 (pulses, noise), batch, 2 * frames, 2 * STEP]
    periodicity: Tensor  # [batch, frames]
    angles: Tensor  # [batch, frames, 2, KNOTS]


def codewords(shapes: Tensor, codebook_size: int) -> Codewords:
    """The tables for shapes [shapes, KNOTS] of phases, on their device. They are float64, as phases add up over a recording."""
    constants = _constants(len(shapes), codebook_size, shapes.device)
    return Codewords(*constants, shapes.double()[torch.arange(codebook_size, device=shapes.device) % len(shapes)])


@functools.cache
def _constants(shapes: int, codebook_size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    pitch, phase = PitchCodes(codebook_size), PhaseCodes(np.zeros((shapes, len(KNOTS))), codebook_size)
    frequencies, periodicities, turns = (
        torch.from_numpy(table).to(device) for table in (pitch.frequencies, pitch.periodicities, phase.turns)
    )
    return frequencies, periodicities, turns


@functools.lru_cache(8)  # all crops of a training have the same noise
def _noise(number: int, count: int, device: torch.device) -> Tensor:
    return torch.from_numpy(noise(number, count)).to(device)


def start(batch: int, device: torch.device) -> State:
    """The state before the first frame of recordings."""
    nothing = torch.zeros(batch, dtype=torch.float64, device=device)
    angles, samples = nothing.new_zeros(batch, len(KNOTS)), nothing.new_zeros(2, batch, STEP)
    return State(nothing.long(), nothing.bool(), nothing, angles, samples, 0)


def excited(words: Codewords, pitch: Tensor, phase: Tensor, state: State) -> tuple[Excited, State]:
    """Codes [batch, frames] of both codebooks, -1 where there is none, and the state for the next call."""
    turned = phase >= 0
    own = words.angles[phase] * turned[..., None]
    angles = torch.cat([state.angles[:, None], own], dim=1)
    line, voiced, pulses, ended = _pulses(words, pitch, words.turns[phase] * turned, state)
    noises = _noise(state.number, pulses.shape[1], pulses.device).expand_as(pulses)
    samples = torch.cat([state.samples, torch.stack([pulses, noises])], dim=2)
    windows = samples.float().unfold(2, 2 * STEP, STEP)
    found = Excited(windows, words.periodicities[pitch].float(), torch.stack([angles[:, :-1], own], dim=2).float())
    number = (state.number + pulses.shape[1]) % 2**32
    return found, State(line, voiced, ended, angles[:, -1], samples[:, :, -STEP:], number)


class Course(NamedTuple):
    """As `telucodec.vocoder.pitch.Track`, [batch, frames]."""

    last: Tensor  # [batch], the code that is held at the end
    voiced: Tensor  # bool
    before: Tensor  # Hz, at the start of a frame
    after: Tensor  # Hz, at its end
    onset: Tensor  # bool


def course(words: Codewords, pitch: Tensor, held: Tensor, was_voiced: Tensor) -> Course:
    """`PitchCourse`: codes [batch, frames], -1 where there is none, after the code `held` and `was_voiced` [batch]."""
    line = torch.cat([held[:, None], pitch], dim=1)
    places = torch.arange(line.shape[1], device=line.device)
    line = line.gather(1, torch.where(line >= 0, places, 0).cummax(1).values)
    voiced = (pitch >= 0) & (pitch % len(PERIODICITIES) > 0)
    onset = voiced & ~torch.cat([was_voiced[:, None], voiced[:, :-1]], dim=1)
    frequencies = words.frequencies[line]
    after = frequencies[:, 1:]
    return Course(line[:, -1], voiced, torch.where(onset, after, frequencies[:, :-1]), after, onset)


def _pulses(words: Codewords, pitch: Tensor, turns: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`PitchCourse` and `PulseTrain`: the last pitch, whether it is voiced, samples [batch, frames * HOP], and the last phase."""
    line, voiced, before, after, onset = course(words, pitch, state.pitch, state.voiced)
    places = torch.arange(pitch.shape[1], device=pitch.device)
    whole = cycles(before, after, HOP) + turns
    done = whole.cumsum(1) - whole
    last = torch.where(onset, places, -1).cummax(1).values
    starts = done + torch.where(last < 0, state.phase[:, None], -done.gather(1, last.clamp(min=0)))
    count = torch.arange(1, HOP + 1, device=pitch.device, dtype=torch.float64)
    before, after = before[..., None], after[..., None]
    phase = starts[..., None] + cycles(before, after, count) + turns[..., None] * (count / STEP).clamp(max=1)
    height = (before + (after - before) * count / HOP).flatten(1)
    angle = 2 * math.pi * (phase.flatten(1) % 1.0)
    pulses = (2 * height / (SAMPLE_RATE / 2)).sqrt() * _harmonics(angle, HIGHEST_HARMONIC / height)
    return line, voiced[:, -1], pulses, (starts[:, -1] + whole[:, -1]) % 1.0


def _harmonics(phase: Tensor, count: Tensor) -> Tensor:
    """As in `telucodec.vocoder.source`."""
    whole = count.floor()
    half = (phase / 2).sin()
    pulse = half.abs() < NEAR_PULSE
    closed = ((whole + 0.5) * phase).sin() / (2 * torch.where(pulse, 1, half)) - 0.5
    return torch.where(pulse, whole, closed) + (count - whole) * ((whole + 1) * phase).cos()

import numpy as np
import pytest
import torch

from telucodec.noise import noise
from telucodec.vocoder.analysis import FEATURES, silence
from telucodec.vocoder.filters import KNOTS, OUTPUTS, Tables, filtered, filters, tables
from telucodec.vocoder.frames import HOP, STEP

FRAMES = 40


def drawn(seed=0):
    random = np.random.default_rng(seed)
    spectra = np.clip(random.normal(-4, 1, (FRAMES, FEATURES)), -7, -1)
    corrections = random.normal(0, 0.3, (FRAMES, OUTPUTS))
    angles = random.uniform(-3, 3, (FRAMES, 2, len(KNOTS)))
    return spectra, random.uniform(0, 1, FRAMES), angles, corrections


def windows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((2, count, 2 * STEP))


def test_numpy_and_pytorch_agree():
    sources, waiting = windows(2 * FRAMES), np.zeros((3, STEP))
    expected, left = filtered(np, tables(), sources, filters(np, tables(), *drawn()), waiting)
    constants = Tables(*(torch.from_numpy(table) for table in tables()))
    by = filters(torch, constants, *(torch.from_numpy(part) for part in drawn()))
    audio, rest = filtered(torch, constants, torch.from_numpy(sources), by, torch.from_numpy(waiting))
    assert np.allclose(audio.numpy(), expected, atol=1e-10) and np.allclose(rest.numpy(), left, atol=1e-10)


@pytest.mark.parametrize("level", [-1.0, -3.0])
def test_noise_through_a_flat_filter_has_its_level(level):
    spectra, nothing = np.full((FRAMES, FEATURES), level), np.zeros((FRAMES, OUTPUTS))
    by = filters(np, tables(), spectra, np.zeros(FRAMES), np.zeros((FRAMES, 2, len(KNOTS))), nothing)
    line = noise(0, FRAMES * HOP + STEP)
    sources = np.lib.stride_tricks.sliding_window_view(line, 2 * STEP)[::STEP]
    audio, _ = filtered(np, tables(), np.stack([0 * sources, sources]), by, np.zeros((3, STEP)))
    assert 20 * np.log10(np.std(audio[HOP:])) == pytest.approx(8.686 * level, abs=0.3)


def test_frames_one_by_one_give_the_whole():
    sources, by = windows(2 * FRAMES), filters(np, tables(), *drawn())
    whole, _ = filtered(np, tables(), sources, by, np.zeros((3, STEP)))
    waiting, pieces = np.zeros((3, STEP)), []
    for start in range(0, 2 * FRAMES, 2):
        part = type(by)(*(each[start : start + 2] for each in by))
        audio, waiting = filtered(np, tables(), sources[:, start : start + 2], part, waiting)
        pieces.append(audio)
    assert np.allclose(np.concatenate(pieces), whole, atol=1e-12)


def test_the_levels_of_silence_are_silent():
    spectra = np.tile(silence(), (FRAMES, 1)).astype(np.float64)
    by = filters(np, tables(), spectra, np.ones(FRAMES), *(0 * part for part in drawn()[2:]))
    audio, _ = filtered(np, tables(), windows(2 * FRAMES), by, np.zeros((3, STEP)))
    assert np.abs(audio).max() < 1e-3


def test_a_filter_of_minimum_phase_has_its_energy_at_the_start():
    spectra = np.tile(-3 + np.cos(np.arange(FEATURES // 2) / 8), (1, 2))
    by = filters(np, tables(), spectra, np.ones(1), np.zeros((1, 2, len(KNOTS))), np.zeros((1, OUTPUTS)))
    response = np.fft.irfft(np.exp(by.pulse_levels @ tables().bins + 1j * by.pulse_phases))[0]
    early, late = np.square(response[:320]).sum(), np.square(response[320:]).sum()
    assert late < 0.1 * early and np.abs(response).argmax() < 20

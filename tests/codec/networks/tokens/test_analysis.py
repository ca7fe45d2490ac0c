"""Tensors and NumPy agree on pitch, phases and spectra."""

import numpy as np
import pytest
import torch

from telucodec.networks.tokens import analysis, excitation
from telucodec.vocoder.analysis import SpeechAnalysis, silence
from telucodec.vocoder.codes import VocoderCodes
from telucodec.vocoder.filters import KNOTS
from telucodec.vocoder.frames import HOP
from telucodec.vocoder.phase import turns_of
from tests.conftest import speech


@pytest.fixture
def recordings():
    """Speech with a pause, noise, a tone above all pitches, silence, and quiet speech: [batch, 90 frames]."""
    random = np.random.default_rng(0)
    spoken = [speech(1.8, seed=seed)[: 90 * HOP] for seed in range(3)]
    spoken[0][9000:15000] = 0
    tone = 0.3 * np.sin(2 * np.pi * 900 / 16000 * np.arange(90 * HOP))
    rows = [*spoken, random.normal(0, 0.1, 90 * HOP), tone, np.zeros(90 * HOP), spoken[2] * 1e-3]
    return np.stack([row.astype(np.float32) for row in rows] + [spoken[1] * 0.1, spoken[2][::-1]])


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_they_agree(recordings, size):
    shapes = np.random.default_rng(1).uniform(-3, 3, (size // turns_of(size), len(KNOTS)))
    codes = VocoderCodes(shapes, 12, size)
    found = analysis.described(excitation.codewords(torch.from_numpy(shapes), size), torch.from_numpy(recordings))
    expected = [SpeechAnalysis(codes.pitch, codes.phase).push(row.astype(np.float64)) for row in recordings]
    differing = found.codes.numpy() != np.stack([one for one, _ in expected])
    assert differing.mean() < 2e-3  # rounding may tip a code
    assert np.allclose(found.levels, np.stack([levels for _, levels in expected]), atol=1e-4)
    assert np.allclose(found.levels[5], silence()) and not found.codes[5].any()
    assert (found.codes[:3, 0] % 4 > 0).double().mean() > 0.2  # of what is compared, much has a pitch

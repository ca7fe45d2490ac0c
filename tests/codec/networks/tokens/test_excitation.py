"""Tensors and NumPy agree on pulses, noise and phases, in one call or in several."""

import numpy as np
import pytest
import torch

from telucodec.networks.tokens import excitation
from telucodec.tokens.excitation import Excitation
from telucodec.vocoder.codes import VocoderCodes
from telucodec.vocoder.filters import KNOTS
from telucodec.vocoder.phase import turns_of

SIZE = 256


@pytest.fixture
def recordings():
    """Codes [batch, 2, frames]: pitches that wander, pauses, lost frames, and an item without phases."""
    random = np.random.default_rng(0)
    pitch = np.clip(120 + random.integers(-9, 10, (4, 60)).cumsum(1), 0, SIZE - 1)
    pitch[1, 20:30] -= pitch[1, 20:30] % 4
    phase = random.integers(0, SIZE, pitch.shape)
    pitch[2, :3] = pitch[2, 40:45] = phase[2, 40:45] = phase[3] = -1
    return np.stack([pitch, phase], axis=1)


@pytest.mark.parametrize("cuts", [[], [1], [17, 18, 41]])
def test_they_agree(recordings, cuts):
    shapes = np.random.default_rng(1).uniform(-3, 3, (SIZE // turns_of(SIZE), len(KNOTS)))
    codes = VocoderCodes(shapes, 12, SIZE)
    words = excitation.codewords(torch.from_numpy(shapes), SIZE)
    state, parts = excitation.start(len(recordings), torch.device("cpu")), []
    for part in torch.from_numpy(recordings).tensor_split(cuts, dim=2):
        found, state = excitation.excited(words, part[:, 0], part[:, 1], state)
        parts.append(found)
    windows = torch.cat([part.windows for part in parts], dim=2)
    periodicity, angles = (torch.cat([getattr(part, name) for part in parts], 1) for name in ("periodicity", "angles"))
    for number, one in enumerate(recordings):
        expected = Excitation(codes.pitch, codes.phase).push(*one)
        assert np.allclose(windows[:, number], expected.windows, atol=2e-5)
        assert np.allclose(periodicity[number], expected.periodicity) and np.allclose(angles[number], expected.angles)

import math

import pytest
import torch

from telucodec.networks.tokens.levels import EDGES, LevelBias
from telucodec.networks.tokens.mel import MelDistance


@pytest.fixture(scope="module")
def noise():
    return torch.randn(2, 32000, generator=torch.Generator().manual_seed(0))


def test_a_change_of_level_is_that_change(noise):
    assert float(LevelBias()(noise, noise * 1.5)) == pytest.approx(math.log(1.5), rel=0.01)
    assert float(LevelBias()(noise, noise)) == 0


def test_one_octave_counts_by_its_share(noise):
    spectrum = torch.fft.rfft(noise)
    spectrum[:, 2000:4000] *= 0.5  # 1 to 2 kHz
    softer = torch.fft.irfft(spectrum, 32000)
    assert float(LevelBias()(noise, softer)) == pytest.approx(math.log(2) / (len(EDGES) - 1), rel=0.1)


def test_too_loud_now_and_too_soft_then_is_no_bias_although_each_is_a_distance(noise):
    change = torch.exp(0.5 * torch.sign(torch.sin(2 * math.pi * 2 * torch.arange(32000) / 32000)))
    changed = noise * change
    assert float(LevelBias()(noise, changed)) < 0.02
    assert float(MelDistance()(noise, changed)) == pytest.approx(0.5, rel=0.1)


def test_pauses_do_not_count(noise):
    audio = noise.clone()
    audio[:, 16000:] *= 1e-3
    output = audio.clone()
    output[:, 16000:] *= 4
    assert float(LevelBias()(audio, output)) < 0.02


def test_silence_has_a_finite_gradient(noise):
    output = (noise * 1e-3).requires_grad_()
    LevelBias()(torch.zeros_like(noise), output).backward()
    assert output.grad is not None and torch.isfinite(output.grad).all()

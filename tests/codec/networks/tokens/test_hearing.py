import math

import numpy as np
import pytest
import torch

from telucodec.audio.metrics import pesq_wb, stoi
from telucodec.networks.tokens.hearing import envelope_distance, loudness_distance


@pytest.fixture(scope="module")
def audio(spoken):
    return torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(3)])


def damaged(audio):
    """Speech with several kinds of noise, and without its high frequencies."""
    torch.manual_seed(0)
    noise = torch.randn_like(audio) * audio.square().mean(1, keepdim=True).sqrt()
    spectrum = torch.fft.rfft(audio)
    spectrum[:, 3 * spectrum.shape[1] // 8 :] = 0
    muffled = torch.fft.irfft(spectrum, audio.shape[1])
    modulated = noise * audio.abs() / audio.abs().mean()
    return [audio + 0.003 * noise, audio + 0.03 * noise, audio + 0.3 * noise, audio + 0.1 * modulated, muffled]


def test_loudness_distance_gives_the_pesq_score(audio):
    for output in damaged(audio):
        distances = loudness_distance(audio, output)
        for one, other, distance in zip(audio, output, distances, strict=True):
            score = 0.999 + 4 / (1 + math.exp(1.3669 * float(distance) - 2.329))
            assert score == pytest.approx(pesq_wb(one.numpy(), other.numpy()), abs=0.25)


def test_envelope_distance_gives_the_stoi_score(audio):
    for output in damaged(audio):
        distances = envelope_distance(audio, output)
        for one, other, distance in zip(audio, output, distances, strict=True):
            assert 1 - float(distance) == pytest.approx(
                stoi(one.numpy(), other.numpy()), abs=0.1
            )  # STOI leaves out pauses in another way


@pytest.mark.parametrize("distance", [loudness_distance, envelope_distance])
def test_a_step_against_the_gradient_lowers_the_distance(distance, audio):
    output = damaged(audio)[2].requires_grad_()
    far = distance(audio, output).sum()
    far.backward()
    assert torch.isfinite(output.grad).all()
    with torch.no_grad():
        nearer = output - 1e-3 * output.grad / output.grad.norm()
        assert distance(audio, nearer).sum() < far


@pytest.mark.parametrize("distance", [loudness_distance, envelope_distance])
@pytest.mark.parametrize("samples", [200, 8001])
def test_silence_and_short_audio_have_a_finite_distance_and_gradient(distance, audio, samples):
    for one in (audio[:, :samples], torch.zeros(3, samples)):
        for other in (audio[:, :samples].flip(1), torch.zeros(3, samples)):
            output = other.clone().requires_grad_()
            distances = distance(one, output)
            distances.sum().backward()
            assert distances.shape == (3,) and torch.isfinite(distances).all() and torch.isfinite(output.grad).all()


def test_loudness_distance_does_not_depend_on_the_level(audio):
    output = damaged(audio)[1]
    assert np.allclose(loudness_distance(audio, output), loudness_distance(audio / 8, output / 8), atol=0.02)

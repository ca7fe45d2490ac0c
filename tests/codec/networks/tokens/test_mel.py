import math

import pytest
import torch

from telucodec.networks.tokens.mel import RESOLUTIONS, MelDistance, mel_bands


@pytest.fixture(scope="module")
def audio(spoken):
    return torch.stack([torch.from_numpy(spoken(1, seed)) for seed in range(3)])


def test_the_distance_of_a_change_of_level_is_that_change(audio):
    loud = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    assert float(MelDistance()(loud, loud * 0.5)) == pytest.approx(math.log(2), rel=0.01)
    assert float(MelDistance()(audio, audio)) == 0


def test_treble_that_fades_counts_by_its_share_of_the_bands():
    """A measure that equalises would hear no difference."""
    noise = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(noise)
    spectrum[:, 5000:] *= 0.1
    faded = torch.fft.irfft(spectrum, 16000)
    share = 1 - math.log(1 + 5000 / 700) / math.log(1 + 8000 / 700)
    assert float(MelDistance()(noise, faded)) == pytest.approx(share * math.log(10), rel=0.15)


def test_silence_has_a_finite_gradient(audio):
    output = torch.zeros_like(audio).requires_grad_()
    MelDistance()(audio, output).backward()
    assert output.grad.isfinite().all()


@pytest.mark.parametrize(("size", "bands"), RESOLUTIONS)
def test_bands_are_means_that_cover_the_spectrum(size, bands):
    weights = mel_bands(size, bands)
    assert torch.allclose(weights.sum(0), torch.ones(bands)) and (weights >= 0).all()
    assert (weights[2:-1].sum(1) > 0).all()
    places = (weights * torch.arange(size // 2 + 1)[:, None]).sum(0)
    assert (places.diff() >= 0).all()

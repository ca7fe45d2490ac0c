import pytest
import torch

from telucodec.networks.tokens.transform import Transform

HOP = 320


def transform(compand=1.0):
    return Transform(HOP, 64, compand, None, True, "none", 16)


@pytest.fixture(scope="module")
def coefficients(spoken):
    values = transform().mdct(torch.from_numpy(spoken(3))[None])
    return values / values.square().mean().sqrt()


@pytest.mark.parametrize("compand", [1.0, 0.7, 0.4])
def test_expanding_undoes_companding(compand, coefficients):
    part = transform(compand)
    error = (part.expanded(part.compressed(coefficients)) - coefficients).square().mean().sqrt()
    assert error < 0.02 + (compand < 1) * 0.02


def test_companding_narrows_the_range_of_magnitudes(coefficients):
    spread = [
        part.compressed(coefficients).abs().quantile(torch.tensor([0.25, 0.99]))
        for part in (transform(1.0), transform(0.5))
    ]
    assert spread[1][1] / spread[1][0] < 0.3 * spread[0][1] / spread[0][0]


def test_principal_components_hold_most_of_the_energy(spoken):
    part, audio = transform(), torch.from_numpy(spoken(3))[None]
    part.fit(audio)
    padded = torch.nn.functional.pad(audio, (0, -audio.shape[1] % HOP + HOP))
    analysis, _ = part.analyse(padded, part.analysis_start(1))
    own, latents = analysis
    assert own.shape == (1, 0, latents.shape[1])
    output, _ = part.synthesise(own, latents, torch.zeros(1, latents.shape[1], HOP), part.synthesis_start(1))
    error = (output[:, HOP : HOP + audio.shape[1]] - audio).square().sum()
    assert error < 0.05 * audio.square().sum()

import itertools

import pytest
import torch

from telucodec.networks.mdct import MDCT
from telucodec.networks.tokens.spectrum import NOISE_FRAMES, Spectrum, band_edges

HOP = 320


def spectrum(compand=1.0, noise_from=None):
    torch.manual_seed(0)
    return Spectrum(HOP, 16000, compand, noise_from, 1.5)


@pytest.fixture(scope="module")
def coefficients(spoken):
    values = MDCT(HOP)(torch.from_numpy(spoken(3))[None])
    return values / values.square().mean().sqrt()


@pytest.mark.parametrize("compand", [1.0, 0.7, 0.4])
@pytest.mark.parametrize("noise_from", [None, 1000.0])
def test_unchanged_features_give_the_coefficients(compand, noise_from, coefficients):
    part = spectrum(compand, noise_from)
    back = part.coefficients(part.features(coefficients))
    error = (back - coefficients).square().mean().sqrt()
    assert error < 0.02 + (compand < 1) * 0.02
    assert part.features(coefficients).shape[2] == part.size


def test_companding_narrows_the_range_of_magnitudes(coefficients):
    spread = [
        part.features(coefficients).abs().quantile(torch.tensor([0.25, 0.99]))
        for part in (spectrum(1.0), spectrum(0.5))
    ]
    assert spread[1][1] / spread[1][0] < 0.3 * spread[0][1] / spread[0][0]


def test_energy_missing_from_a_band_is_filled_with_noise(coefficients):
    part = spectrum(noise_from=1000.0)
    features = part.features(coefficients).clone()
    above = part.edges[0]
    features[..., above:HOP] = 0
    filled = part.coefficients(features)
    energy, expected = (value.square() @ part.means for value in (filled, coefficients))
    assert torch.allclose(energy, expected, rtol=0.01, atol=1e-6)
    assert torch.allclose(filled[..., :above], coefficients[..., :above])
    assert abs(float((filled * coefficients)[..., above:].sum() / coefficients[..., above:].square().sum())) < 0.2


def test_a_band_with_all_its_energy_gets_no_noise(coefficients):
    part = spectrum(noise_from=1000.0)
    features = part.features(coefficients)
    features[..., HOP:] *= 0.5
    assert torch.allclose(part.coefficients(features), coefficients, atol=1e-3)


def test_noise_continues_at_a_frame_and_does_not_repeat_soon(coefficients):
    part = spectrum(noise_from=1000.0)
    features = part.features(coefficients)
    features[..., :HOP] = 0
    whole = part.coefficients(features)
    assert torch.equal(whole[:, 5:], part.coefficients(features[:, 5:], frame=5))
    signs = whole.sign()[0, :, part.edges[0] :]
    alike = (signs[:-1] * signs[1:]).mean(1).abs()
    assert float(alike.max()) < 0.3
    assert NOISE_FRAMES > 50


def test_bands_cover_all_bins_from_their_start():
    edges = band_edges(HOP, 16000, 1000.0)
    assert edges[0] == 40 and edges[-1] == HOP and edges == sorted(set(edges))
    ratios = [end / start for start, end in itertools.pairwise(edges)]
    assert min(ratios) > 1.1 and max(ratios) < 1.25
    assert band_edges(HOP, 16000, None) == [HOP]
    assert band_edges(40, 16000, 7900.0)[-1] == 40

import itertools

import pytest
import torch

from telucodec.networks.mdct import MDCT
from telucodec.networks.tokens.spectrum import NOISE_FRAMES, Spectrum, band_edges

HOP = 320


def spectrum(compand=1.0, noise_from=None):
    torch.manual_seed(0)
    return Spectrum(HOP, 16000, compand, noise_from)


@pytest.fixture(scope="module")
def coefficients(spoken):
    values = MDCT(HOP)(torch.from_numpy(spoken(3))[None])
    return values / values.square().mean().sqrt()


@pytest.mark.parametrize("compand", [1.0, 0.7, 0.4])
@pytest.mark.parametrize("noise_from", [None, 1600.0])
def test_expanding_undoes_companding(compand, noise_from, coefficients):
    part = spectrum(compand, noise_from)
    compressed = part.compressed(coefficients)
    assert compressed.shape[2] == part.coded == (HOP if noise_from is None else 64)
    error = (part.expanded(compressed) - coefficients[..., : part.coded]).square().mean().sqrt()
    assert error < 0.02 + (compand < 1) * 0.02


def test_companding_narrows_the_range_of_magnitudes(coefficients):
    spread = [
        part.compressed(coefficients).abs().quantile(torch.tensor([0.25, 0.99]))
        for part in (spectrum(1.0), spectrum(0.5))
    ]
    assert spread[1][1] / spread[1][0] < 0.3 * spread[0][1] / spread[0][0]


def test_noise_at_the_levels_has_the_energies_of_the_bands():
    part = spectrum(noise_from=1600.0)
    slope = torch.linspace(1, -3, part.bands)[None, None].expand(1, 500, -1)
    noise = part.levels(slope).exp() * part.noise_frames(0, 500)
    assert torch.allclose(part.energies(noise), slope, atol=0.1)
    even = torch.full((1, 1, part.bands), 0.7)
    assert torch.allclose(part.levels(even), torch.tensor(0.7), atol=1e-5)


def test_silence_has_finite_energies():
    part = spectrum(noise_from=1600.0)
    assert part.energies(torch.zeros(1, 3, HOP)).isfinite().all()


def test_noise_continues_at_a_frame_and_does_not_repeat_soon():
    part = spectrum(noise_from=1600.0)
    whole = part.noise_frames(0, NOISE_FRAMES)
    assert torch.equal(whole[5:], part.noise_frames(5, NOISE_FRAMES - 5))
    assert torch.equal(part.noise_frames(NOISE_FRAMES, 3), whole[:3])
    alike = (whole[:-1] * whole[1:]).mean(1).abs()
    assert float(alike.max()) < 0.3
    assert NOISE_FRAMES > 50


def test_bands_cover_all_bins_from_their_start():
    edges = band_edges(HOP, 16000, 1000.0)
    assert edges[0] == 40 and edges[-1] == HOP and edges == sorted(set(edges))
    ratios = [end / start for start, end in itertools.pairwise(edges)]
    assert min(ratios) > 1.1 and max(ratios) < 1.25
    assert band_edges(HOP, 16000, None) == [HOP]
    assert band_edges(40, 16000, 7900.0)[-1] == 40

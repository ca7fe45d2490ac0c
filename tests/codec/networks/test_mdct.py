import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from telucodec.networks.mdct import MDCT


@given(hop=st.sampled_from([40, 160, 320]), samples=st.integers(1, 2000), seed=st.integers(0, 99))
def test_inverse_returns_the_signal(hop, samples, seed):
    audio = torch.randn(2, samples, generator=torch.Generator().manual_seed(seed))
    mdct = MDCT(hop)
    coefficients = mdct(audio)
    assert coefficients.shape == (2, mdct.frames(samples), hop)
    assert torch.allclose(mdct.inverse(coefficients, samples), audio, atol=1e-4)


def test_energy_is_preserved():
    audio = torch.randn(1, 3200)
    assert torch.isclose(MDCT(320)(audio).square().sum(), audio.square().sum(), rtol=1e-4)


def test_a_frame_looks_ahead_by_exactly_one_hop():
    audio = torch.randn(1, 3200)
    changed = audio.clone()
    changed[:, 1600:] += 1.0
    same = (MDCT(320)(audio) == MDCT(320)(changed)).all(2)[0]
    assert same[:5].all()  # frame 4 ends at sample 1600
    assert not same[5:].any()


def test_stays_float32_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coefficients = MDCT(320)(torch.randn(1, 640))
        assert coefficients.dtype == torch.float32
        assert MDCT(320).inverse(coefficients, 640).dtype == torch.float32


@pytest.mark.parametrize("samples, frames", [(1, 2), (320, 2), (321, 3), (16000, 51)])
def test_number_of_frames(samples, frames):
    assert MDCT(320).frames(samples) == frames

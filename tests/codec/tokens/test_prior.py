import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.tokens.prior import TokenPrior, straightened

LEVELS, SIZE, LATENT, FRAMES = 3, 32, 6, 200


@pytest.fixture(scope="module")
def codebooks():
    return torch.randn(LEVELS, SIZE, LATENT, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def ruled():
    """Codes that follow a rule: a first code of n comes after n - 1, the second is its double, the third any."""
    first = torch.arange(FRAMES) % SIZE
    third = torch.randint(0, SIZE, (FRAMES,), generator=torch.Generator().manual_seed(1))
    return torch.stack([first, 2 * first % SIZE, third])[None]


@pytest.fixture(scope="module")
def learnt(codebooks, ruled):
    torch.manual_seed(0)
    prior = TokenPrior(LEVELS, SIZE, LATENT)
    prior.set_scale(codebooks[0])
    optimizer = torch.optim.AdamW(prior.parameters(), 5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        prior(ruled, codebooks).mean().backward()
        optimizer.step()
    return prior


def test_before_it_has_learnt_all_are_equally_likely(codebooks, ruled):
    bits = TokenPrior(LEVELS, SIZE, LATENT)(ruled, codebooks)
    assert torch.allclose(bits, torch.full_like(bits, math.log2(SIZE)))


def test_what_follows_from_what_is_known_costs_little(learnt, codebooks, ruled):
    bits = learnt(ruled, codebooks).mean((0, 2))
    assert bits[0] < 1 and bits[1] < 1 and bits[2] > 2


def test_a_code_that_is_not_there_costs_nothing(learnt, codebooks, ruled):
    codes = ruled.clone()
    codes[:, 1:, ::2] = -1
    bits = learnt(codes, codebooks)
    assert (bits[:, 1:, ::2] == 0).all() and (bits[:, :, 1::2] > 0).all()


@pytest.mark.parametrize("level", range(LEVELS))
def test_only_earlier_frames_and_lower_levels_are_looked_at(learnt, codebooks, ruled, level):
    """Codes of a frame at a level and above, and of all later frames, do not matter; the frame before does, at lower levels."""
    frame, words = 50, learnt.codewords(codebooks)

    def known(codes):
        return list(learnt.known(codes, words))[level][0, frame]

    changed = ruled.clone()
    changed[:, level:, frame] = 0
    changed[:, :, frame + 1 :] = 0
    assert torch.equal(known(changed), known(ruled))
    changed = ruled.clone()
    changed[:, max(level - 1, 0), frame - 1] += 1
    assert not torch.equal(known(changed), known(ruled))


def test_what_is_looked_at_fits_the_exact_layers(learnt, codebooks, ruled):
    for known in learnt.known(ruled, learnt.codewords(1000 * codebooks)):
        units = known * 2**5
        assert torch.equal(units, units.round()) and units.abs().max() <= 127


def test_the_scale_is_a_power_of_two_that_brings_latents_near_one(codebooks):
    prior = TokenPrior(LEVELS, SIZE, LATENT)
    spread = torch.tensor([0.01, 0.1, 1.0, 3.0, 10.0, 100.0])
    prior.set_scale(spread * torch.randn(1000, LATENT, generator=torch.Generator().manual_seed(0)))
    scaled = spread * torch.exp2(prior.exponents.float())
    assert (scaled > 0.65).all() and (scaled < 1.55).all()


def test_numbers_of_levels_are_priced_by_the_one_before():
    prior, errors = TokenPrior(2, SIZE, LATENT), torch.tensor([4.0, 1.0, 0.5]).repeat(4, FRAMES, 1)
    errors[:, ::2, 1:] = 4.0  # every other frame gains nothing from a code
    prior.set_depths(errors)
    prices = prior.depths[1]
    assert prices[0, 0] > prices[0].min() and prices[2, 0] == prices[2].min()
    shares = 2.0 ** straightened(-prior.depths[1:].double() / 8)
    assert torch.allclose(shares.sum(2), torch.ones(2, 4, dtype=torch.float64), atol=0.1)


@given(st.floats(-50, 50))
def test_straightened_powers_are_straight_between_those_of_two(x):
    whole = math.floor(x)
    assert 2.0 ** straightened(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(
        2.0**whole * (1 + x - whole), rel=1e-9
    )

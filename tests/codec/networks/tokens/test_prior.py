import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from telucodec.networks.exact import straightened
from telucodec.networks.tokens.prior import TokenPrior

NUM_CODEBOOKS, CODEBOOK_SIZE, LATENT_DIM, FRAMES = 3, 32, 6, 200


@pytest.fixture(scope="module")
def codebooks():
    return torch.randn(NUM_CODEBOOKS, CODEBOOK_SIZE, LATENT_DIM, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def codes():
    """Codes by rule: the first code counts up from frame to frame, the second is its double, the third is random."""
    first = torch.arange(FRAMES) % CODEBOOK_SIZE
    third = torch.randint(0, CODEBOOK_SIZE, (FRAMES,), generator=torch.Generator().manual_seed(1))
    return torch.stack([first, 2 * first % CODEBOOK_SIZE, third])[None]


@pytest.fixture(scope="module")
def trained(codebooks, codes):
    torch.manual_seed(0)
    prior = TokenPrior(NUM_CODEBOOKS, CODEBOOK_SIZE, LATENT_DIM)
    prior.set_scale(codebooks[0])
    optimizer = torch.optim.AdamW(prior.parameters(), 5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        prior(codes, codebooks).mean().backward()
        optimizer.step()
    return prior


def test_before_training_all_codewords_are_equally_likely(codebooks, codes):
    bits = TokenPrior(NUM_CODEBOOKS, CODEBOOK_SIZE, LATENT_DIM)(codes, codebooks)
    assert torch.allclose(bits, torch.full_like(bits, math.log2(CODEBOOK_SIZE)))


def test_predictable_codes_cost_little(trained, codebooks, codes):
    bits = trained(codes, codebooks).mean((0, 2))
    assert bits[0] < 1 and bits[1] < 1 and bits[2] > 2


def test_an_absent_code_costs_nothing(trained, codebooks, codes):
    partial = codes.clone()
    partial[:, 1:, ::2] = -1
    bits = trained(partial, codebooks)
    assert (bits[:, 1:, ::2] == 0).all() and (bits[:, :, 1::2] > 0).all()


@pytest.mark.parametrize("number", range(NUM_CODEBOOKS))
def test_a_context_holds_only_earlier_frames_and_lower_codebooks(trained, codebooks, codes, number):
    """A frame's codes of this codebook and above, and all later frames, do not matter; the frame before does."""
    frame, codewords = 50, trained.codewords(codebooks)

    def context(codes):
        return list(trained.contexts(codes, codewords))[number][0, frame]

    changed = codes.clone()
    changed[:, number:, frame] = 0
    changed[:, :, frame + 1 :] = 0
    assert torch.equal(context(changed), context(codes))
    changed = codes.clone()
    changed[:, max(number - 1, 0), frame - 1] += 1
    assert not torch.equal(context(changed), context(codes))


def test_contexts_are_activations_of_the_exact_layers(trained, codebooks, codes):
    for context in trained.contexts(codes, trained.codewords(1000 * codebooks)):
        units = context * 2**5
        assert torch.equal(units, units.round()) and units.abs().max() <= 127


def test_the_scale_is_a_power_of_two_that_brings_latents_close_to_one(codebooks):
    prior = TokenPrior(NUM_CODEBOOKS, CODEBOOK_SIZE, LATENT_DIM)
    spread = torch.tensor([0.01, 0.1, 1.0, 3.0, 10.0, 100.0])
    prior.set_scale(spread * torch.randn(1000, LATENT_DIM, generator=torch.Generator().manual_seed(0)))
    scaled = spread * torch.exp2(prior.exponents.float())
    assert (scaled > 0.65).all() and (scaled < 1.55).all()


def test_the_price_of_a_depth_follows_from_the_depth_before():
    prior, errors = TokenPrior(2, CODEBOOK_SIZE, LATENT_DIM), torch.tensor([4.0, 1.0, 0.5]).repeat(4, FRAMES, 1)
    errors[:, ::2, 1:] = 4.0  # every other frame gains nothing from a code
    prior.set_depths(errors)
    prices = prior.depths[1]
    assert prices[0, 0] > prices[0].min() and prices[2, 0] == prices[2].min()
    shares = 2.0 ** straightened(-prior.depths[1:].double() / 8)
    assert torch.allclose(shares.sum(2), torch.ones(2, 4, dtype=torch.float64), atol=0.1)


@given(st.floats(-50, 50))
def test_straightened_powers_are_linear_between_powers_of_two(x):
    whole = math.floor(x)
    assert 2.0 ** straightened(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(
        2.0**whole * (1 + x - whole), rel=1e-9
    )

import numpy as np
import pytest
import torch

from codec.tokens.prior import CONTEXTS, PRICE_BITS, TokenPrior, frequencies

LEVELS, SIZE, FRAMES = 2, 128, 400


@pytest.fixture(scope="module")
def fitted():
    """A prior of tokens that follow a rule: a first code of n comes after n - 1, and the second is its double."""
    first = torch.arange(FRAMES) % SIZE
    codes = torch.stack([first, 2 * first % SIZE])[None].repeat(4, 1, 1)
    errors = torch.tensor([4.0, 1.0, 0.5]).repeat(4, FRAMES, 1)
    errors[:, ::2, 1:] = 4.0  # every other frame gains nothing from a code
    prior = TokenPrior(LEVELS, SIZE)
    prior.fit(torch.arange(float(SIZE))[:, None], codes, errors)
    return prior


def test_before_it_is_fitted_all_are_equally_likely():
    prior = TokenPrior(LEVELS, SIZE)
    assert all(len(part.unique()) == 1 for part in (prior.codes, prior.depths))


def test_what_follows_is_cheaper_than_what_never_did(fitted):
    kind = int(fitted.kinds[10])
    members = (fitted.kinds == kind).nonzero().flatten()
    following = (members + 1) % SIZE
    prices = fitted.codes[0, kind].float()
    others = torch.ones(SIZE, dtype=torch.bool)
    others[following] = False
    assert prices[following].max() < prices[others].min()
    doubled = 2 * members % SIZE
    assert fitted.codes[1, kind][doubled].float().max() < fitted.codes[1, kind].float().median()


def test_depths_are_priced_by_the_depth_before(fitted):
    prices = fitted.depths[1]
    assert prices[0, 0] > prices[0].min() and prices[LEVELS, 0] == prices[LEVELS].min()


def test_prices_are_those_of_a_distribution(fitted):
    for table in (fitted.codes.flatten(0, 1), fitted.depths[1:].flatten(0, 1)):
        shares = 2.0 ** (-table.double() / 2**PRICE_BITS)
        assert torch.allclose(shares.sum(1), torch.ones(len(table), dtype=torch.float64), atol=0.1)


def test_there_is_a_kind_for_every_first_codeword(fitted):
    assert len(fitted.kinds) == SIZE and int(fitted.kinds.max()) < CONTEXTS


def test_frequencies_are_whole_numbers_that_halve_with_every_bit():
    found = frequencies(np.arange(256))
    assert found.dtype == np.float32 and (found == np.rint(found)).all() and found.min() == 1
    assert found[0] == 2 * found[8] == 4 * found[16]

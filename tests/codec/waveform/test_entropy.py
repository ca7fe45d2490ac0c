import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.waveform import entropy
from codec.waveform.entropy import DamagedPacket, Decoder, Encoder, Prices

TABLE = entropy.frequency_table()
ROWS = TABLE.float().numpy()


def parameters(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, 2, generator=generator)
    drawn[:, 0] *= 2.0  # scales from far below a step to far above
    return drawn


def drawn_values(given: torch.Tensor, seed: int) -> torch.Tensor:
    scale, _ = entropy.distribution(given)
    share = torch.rand(len(given), generator=torch.Generator().manual_seed(seed)).clamp(1e-4, 1 - 1e-4)
    return torch.round(torch.logit(share) * torch.exp2(scale))


def coded(values: np.ndarray, kinds: np.ndarray, block: int = 17) -> bytes:
    coder = Encoder(ROWS)
    coder.write(values, kinds, np.append(np.arange(block, len(values), block), len(values)))
    return coder.bytes()


def read(payload: bytes, kinds: np.ndarray, block: int = 17) -> np.ndarray:
    decoder = Decoder([payload], ROWS)
    starts = range(0, len(kinds), block)
    return np.concatenate([decoder.read(kinds[None, start : start + block])[0] for start in starts])


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**20), 2**20)), min_size=1, max_size=80),
    seed=st.integers(0, 10**6),
)
def test_any_integers_come_back_under_any_distributions(values, seed):
    kinds = entropy.kinds(parameters(len(values), seed)).numpy()
    values = np.array(values, np.int64)
    assert np.array_equal(read(coded(values, kinds), kinds), values)


def test_the_coder_spends_what_the_loss_counts():
    given = parameters(20_000, 0)
    values = drawn_values(given, 1)
    ideal = float(entropy.bits(values, given).sum())
    spent = 8 * len(coded(values.long().numpy(), entropy.kinds(given).numpy()))
    assert spent == pytest.approx(ideal, rel=0.006)


def test_prices_are_the_bits_of_the_loss():
    given = parameters(5000, 2)
    magnitudes = drawn_values(given, 3).abs()
    prices = Prices(TABLE)(magnitudes, entropy.kinds(given))
    sign = torch.where(magnitudes > 0, 1.0, 0.0)
    near = magnitudes < 25
    assert torch.allclose(prices[near], entropy.bits(magnitudes, given)[near], atol=0.35)
    assert (prices >= sign * 0.5).all()


def test_every_distribution_sums_to_one():
    given = torch.stack(torch.meshgrid(torch.linspace(-2, 1, 5), torch.linspace(-0.3, 0.5, 4), indexing="ij"), -1)
    values = torch.arange(-3000.0, 3001.0)[:, None, None]
    total = torch.exp2(-entropy.bits(values, given.expand(len(values), -1, -1, -1))).sum(0)
    assert torch.allclose(total, torch.ones_like(total), atol=0.002)
    assert (TABLE > 0).all() and TABLE.sum(1).max() < 2**17


def test_zeros_at_the_end_cost_nothing():
    certain = torch.tensor([[-2.0, -0.25]]).expand(5000, 2)
    assert len(coded(np.zeros(5000, np.int64), entropy.kinds(certain).numpy())) <= 40


@settings(max_examples=60, deadline=None)
@given(payload=st.binary(max_size=60), seed=st.integers(0, 1000))
def test_arbitrary_bytes_give_integers_or_a_clear_error(payload, seed):
    kinds = entropy.kinds(parameters(300, seed)).numpy()
    try:
        values = read(payload, kinds)
    except DamagedPacket:
        return
    assert len(values) == 300 and np.abs(values).max() < 2**31

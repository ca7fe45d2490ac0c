import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from telucodec.errors import DamagedPacketError
from telucodec.networks.waveform import entropy
from telucodec.waveform.entropy import Decoder, Encoder
from tests.codec.networks.waveform.test_entropy import TABLE, drawn_values, parameters

ROWS = TABLE.float().numpy()


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


def test_zeros_at_the_end_cost_nothing():
    certain = torch.tensor([[-2.0, -0.25]]).expand(5000, 2)
    assert len(coded(np.zeros(5000, np.int64), entropy.kinds(certain).numpy())) <= 40


@settings(max_examples=60, deadline=None)
@given(payload=st.binary(max_size=60), seed=st.integers(0, 1000))
def test_arbitrary_bytes_give_integers_or_a_clear_error(payload, seed):
    kinds = entropy.kinds(parameters(300, seed)).numpy()
    try:
        values = read(payload, kinds)
    except DamagedPacketError:
        return
    assert len(values) == 300 and np.abs(values).max() < 2**31

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from telucodec.errors import DamagedPacketError
from telucodec.networks.tokens.model import TokenCodec
from telucodec.tokens.engine import TokenEngine
from tests.codec.configurations import quantizer_config, token_config
from tests.codec.tokens.conftest import LEVELS, SIZE, runtime


@st.composite
def shared_codes(draw):
    """Codes [levels, frames], -1 above each frame's depth, with a mean that says what is expected of the depths."""
    depths = draw(st.lists(st.integers(0, LEVELS), max_size=40))
    codes = np.full((LEVELS, len(depths)), -1, np.int64)
    for frame, depth in enumerate(depths):
        codes[:depth, frame] = draw(st.lists(st.integers(0, SIZE - 1), min_size=depth, max_size=depth))
    return codes, draw(st.integers(1, LEVELS))


@settings(max_examples=50)
@given(given_codes=shared_codes())
@pytest.mark.parametrize("fitted", [False, True])
def test_any_codes_come_back_whatever_was_expected(speech, plain_coder, fitted, given_codes):
    codes, mean = given_codes
    coder = speech.coder if fitted else plain_coder
    assert np.array_equal(coder.decode([coder.encode(codes, mean)], [codes.shape[1]], LEVELS, mean)[0], codes)


@settings(max_examples=30)
@given(packets=st.lists(shared_codes(), max_size=5), mean=st.integers(1, LEVELS))
def test_packets_side_by_side_are_those_one_by_one(speech, packets, mean):
    coder, packets = speech.coder, [codes for codes, _ in packets]
    payloads = [coder.encode(codes, mean) for codes in packets]
    found = coder.decode(payloads, [codes.shape[1] for codes in packets], LEVELS, mean)
    assert len(found) == len(packets) and all(map(np.array_equal, found, packets))


@pytest.mark.parametrize("levels", range(1, LEVELS + 1))
def test_codes_of_equal_depth_come_back(speech, levels):
    coder, codes = speech.coder, speech.codes
    data = coder.encode(codes[:levels], 0)
    assert np.array_equal(coder.decode([data], [codes.shape[1]], levels, 0)[0], codes[:levels])


def test_speech_costs_fewer_bits_than_equally_likely_codes(speech, plain_coder):
    fitted, plain, codes = speech.coder, plain_coder, speech.codes
    assert len(fitted.encode(codes, 0)) < 0.9 * len(plain.encode(codes, 0))
    assert 8 * len(plain.encode(codes, 0)) == pytest.approx(6 * codes.size, rel=0.02)


def test_bits_are_those_of_the_payload(speech):
    coder, codes = speech.coder, speech.codes
    assert coder.bits(codes).sum() == pytest.approx(8 * len(coder.encode(codes, 0)), rel=0.02)
    codes = codes.copy()
    codes[1:, ::2] = -1
    assert (coder.bits(codes)[1:, ::2] == 0).all()
    codes[1:] = -1
    assert (coder.bits(codes)[1:] == 0).all()


@settings(max_examples=50)
@given(payload=st.binary(max_size=60), mean=st.integers(0, LEVELS))
def test_any_bytes_are_codes_or_an_error(speech, payload, mean):
    coder = speech.coder
    try:
        (codes,) = coder.decode([payload], [20], LEVELS, mean)
    except DamagedPacketError:
        return
    assert codes.shape == (LEVELS, 20) and codes.min() >= -1 and codes.max() < SIZE


def test_frames_that_repeat_cost_almost_nothing(speech):
    """Digital silence: the same codes again and again."""
    coder, codes = speech.coder, speech.codes
    start = codes[:, :1]
    again = np.repeat(start, 3000, 1)
    data = coder.encode(again, 0)
    assert len(data) < 20 and np.array_equal(coder.decode([data], [3000], LEVELS, 0)[0], again)
    assert coder.bits(again)[:, 1:].sum() == 0
    mixed = np.concatenate([codes[:, :50], again[:, :50], codes[:, 50:100]], axis=1)
    assert np.array_equal(coder.decode([coder.encode(mixed, 0)], [150], LEVELS, 0)[0], mixed)


def test_the_coder_has_the_probabilities_of_the_prior(speech):
    """Training and coding see the same: a code's bits differ by no more than rounding of frequencies."""
    codes, network = speech.codes, speech.network
    with torch.no_grad():
        ideal = network.prior(torch.from_numpy(codes)[None], network.codebooks)[0].numpy()
    likely = ideal < 12  # the least frequency makes what is less likely cheaper
    assert np.abs(speech.coder.bits(codes) - ideal)[likely].max() < 0.05 and likely.mean() > 0.5


def test_codes_frame_by_frame_are_priced_as_all_at_once(speech):
    coder, codes = speech.coder, speech.codes
    whole = coder.bits(codes)
    for frame in range(1, 20):
        assert np.array_equal(coder.bits(codes[:, : frame + 1])[:, frame], whole[:, frame])


def test_the_largest_weights_and_inputs_are_multiplied_without_overflow(tmp_path):
    """The second layer's products of 8 bits, at their limits, against whole numbers; then powers by their definition."""
    network = TokenCodec(token_config(latent_dim=1, quantizer=quantizer_config(num_codebooks=1, codebook_size=64)))
    describe, tell = network.prior.describe[0], network.prior.tell[0]
    signs = torch.where(torch.rand(64, 128, generator=torch.Generator().manual_seed(0)) < 0.5, -1.0, 1.0)
    signs[0], signs[1] = 1, -1
    with torch.no_grad():
        describe.weight.zero_()
        describe.bias.fill_(100.0)  # far beyond the limit of an activation
        tell.weight.copy_(1000 * signs)
        tell.bias.copy_(torch.linspace(-3, 3, 64))
    weight, bias = (part.numpy().astype(int) for part in tell.integers())
    told = weight @ np.full(128, 127) + bias
    assert abs(told).max() > 127 * 127 * 127
    exponents = np.maximum(told / 2**tell.bias_bits - np.floor(told.max() / 2**tell.bias_bits) + 16, 0)
    whole = np.floor(exponents)
    _, folder = runtime(network, tmp_path)
    found = TokenEngine(folder).coder._prior(0).frequencies(np.zeros((3, 2), np.float32))
    assert np.array_equal(found, np.tile(np.rint(2.0**whole * (1 + exponents - whole)), (3, 1)))
    assert 2**16 <= found.max() < 2**17 and found.min() == 1


def test_nothing_to_price_costs_nothing(speech):
    assert speech.coder.bits(np.zeros((LEVELS, 0), np.int64)).shape == (LEVELS, 0)

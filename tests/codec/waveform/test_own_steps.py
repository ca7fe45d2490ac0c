import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telucodec.errors import DamagedPacketError
from telucodec.waveform import own_steps
from telucodec.waveform.grids import LAST_STEP
from telucodec.waveform.packets import WaveformPackets
from telucodec.waveform.quantization import Settings


@given(st.lists(st.tuples(*[st.integers(0, LAST_STEP // 16)] * 2), min_size=1, max_size=5))
def test_steps_come_back_from_their_distances(pairs):
    before, steps = 16 * np.array(pairs).T
    symbols = own_steps.symbols(before, steps)
    assert symbols.dtype == np.int32 and symbols.min() >= 0 and symbols.max() < own_steps.SYMBOLS
    assert np.array_equal(own_steps.steps(before, symbols), steps)


def test_steps_that_there_are_not_are_damage():
    for symbol in (0, own_steps.SYMBOLS - 1):
        with pytest.raises(DamagedPacketError):
            own_steps.steps(np.array([480]), np.array([symbol]))


def test_staying_is_cheap():
    share = own_steps.FREQUENCIES / own_steps.FREQUENCIES.sum()
    bits = -np.log2(share[own_steps.FARTHEST :])
    assert bits[0] < 1.5 and bits[1] < 4 and bits[-1] < 13


@pytest.mark.parametrize("shaping", [0, 8])
def test_packets_with_their_own_steps_come_back_one_by_one_and_side_by_side(runtime, shaping):
    coder = WaveformPackets(runtime.engine, Settings(320, shaping), own_steps=True)
    frames = np.random.default_rng(0).laplace(size=(3, 6, 40)) * np.logspace(-1, -3, 40)
    chosen = 240, 400, 416
    alone = [coder.encode([packet], None, step) for packet, step in zip(frames, chosen, strict=True)]
    side_by_side = coder.decode([payload for (payload,), _ in alone], [6, 6, 6])
    written, read = coder.start(), coder.start()
    for packet, step, (_, (expected,)), decoded in zip(frames, chosen, alone, side_by_side, strict=True):
        assert all(map(np.array_equal, decoded, expected))
        (payload,), (expected,) = coder.encode([packet], written, step)
        (decoded,) = coder.decode([payload], [6], read)
        assert all(map(np.array_equal, decoded, expected))
        assert shaping or np.allclose(decoded.steps, 2 ** (-step / 64))
        assert shaping or np.abs(decoded.coefficients - packet).max() <= 2 * 2 ** (-step / 64)


def test_a_copy_of_a_walk_goes_its_own_way(runtime):
    coder = WaveformPackets(runtime.engine, Settings(320, 8), own_steps=True)
    first, second = np.random.default_rng(1).laplace(size=(2, 5, 40)) * 0.1
    walk = coder.start()
    coder.encode([first], walk, 320)
    twin = walk.copy()
    coder.encode([5 * first], twin, 400)
    assert coder.encode([second], walk.copy(), 304)[0] == coder.encode([second], walk, 304)[0]
    assert coder.encode([second], twin, 304)[0] != coder.encode([second], walk, 304)[0]

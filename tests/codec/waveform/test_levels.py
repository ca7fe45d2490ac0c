import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from telucodec.errors import DamagedPacketError
from telucodec.networks.reference import TorchEngine
from telucodec.waveform import entropy, levels
from telucodec.waveform.grids import BANDS, LEVEL_HISTORY, LEVELS
from tests.codec.networks.waveform.test_entropy import TABLE as INTEGERS

TABLE = INTEGERS.float().numpy()


@pytest.fixture(scope="module")
def walk():
    """Levels [40, BANDS] that change slowly."""
    steps = np.random.default_rng(0).integers(-1, 2, (40, BANDS))
    return (12 + np.cumsum(steps, axis=0)).clip(0, LEVELS - 1)


def written(coder, history, values):
    writer = entropy.Encoder(TABLE)
    writer.write_symbols(*coder.encode(history, values))
    return writer.bytes()


def test_levels_come_back_side_by_side(runtime, walk):
    coder, packets = runtime.engine.levels, [walk, walk[::-1][:30], walk[5:6]]
    payloads = [written(coder, levels.start(1)[0], packet) for packet in packets]
    decoder = entropy.Decoder(payloads, TABLE)
    read = coder.decode(decoder, levels.start(3), [len(packet) for packet in packets])
    for packet, own in zip(packets, read, strict=True):
        assert np.array_equal(own[: len(packet)], packet)


def test_engines_agree_and_spend_what_training_counts(runtime, walk):
    network = runtime.network
    symbols, frequencies = runtime.engine.levels.encode(levels.start(1)[0], walk)
    assert np.array_equal(frequencies, TorchEngine(network).levels.encode(levels.start(1)[0], walk)[1])
    share = np.take_along_axis(frequencies, symbols[:, None], 1)[:, 0] / frequencies.sum(1)
    with torch.no_grad():
        counted = network.levels(torch.from_numpy(walk)[None].float())
    assert float(counted.sum()) == pytest.approx(-np.log2(share).sum(), rel=1e-3)


def test_history_matters_and_packets_go_on_from_it(runtime, walk):
    coder = runtime.engine.levels
    _, whole = coder.encode(levels.start(1)[0], walk)
    _, rest = coder.encode(walk[10 - LEVEL_HISTORY : 10], walk[10:])
    assert np.array_equal(rest, whole[10 * BANDS :])
    _, fresh = coder.encode(levels.start(1)[0], walk[10:])
    assert not np.array_equal(rest, fresh)


@settings(max_examples=30, deadline=None)
@given(payload=st.binary(max_size=80))
def test_arbitrary_bytes_give_levels_or_a_clear_error(runtime, payload):
    decoder = entropy.Decoder([payload], TABLE)
    try:
        read = runtime.engine.levels.decode(decoder, levels.start(1), [20])
    except DamagedPacketError:
        return
    assert read.shape == (1, 20, BANDS) and read.min() >= 0 and read.max() < LEVELS

import numpy as np
import pytest
import torch

from telucodec.networks.waveform.model import Settings as NetworkSettings
from telucodec.waveform.packets import WaveformPackets
from telucodec.waveform.quantization import Settings


@pytest.fixture(scope="module")
def frames(runtime, spoken):
    """Coefficients [frames, 40] of a second of speech."""
    return runtime.network.mdct(torch.from_numpy(spoken(1.0, seed=3))[None])[0].double().numpy()


@pytest.mark.parametrize("shaping", [0, 8])
def test_packets_decode_to_what_was_chosen_side_by_side_or_alone(runtime, frames, shaping):
    coder = WaveformPackets(runtime.engine, Settings(350, shaping))
    packets = [frames[:30], frames[30:60], frames[60:90], frames[90:97]]
    payloads, expected = coder.encode(packets)
    decoded = coder.decode(payloads, [len(packet) for packet in packets])
    for own, theirs in zip(expected, decoded, strict=True):
        assert all(np.array_equal(*parts) for parts in zip(own, theirs, strict=True))
    assert np.array_equal(coder.decode(payloads[1:2], [30])[0].coefficients, decoded[1].coefficients)
    assert coder.encode(packets[3:])[0] == payloads[3:]
    assert (decoded[0].amplitude[decoded[0].coefficients != 0] == 0).all()


@pytest.mark.parametrize("shaping", [0, 8])
def test_packets_go_on_where_the_one_before_ended(runtime, frames, shaping):
    coder, frames = WaveformPackets(runtime.engine, Settings(350, shaping)), frames[:20]
    writer, reader = coder.start(), coder.start()
    decoded = []
    for start, end in ((0, 2), (2, 4), (4, 10), (10, 20)):
        (payload,), _ = coder.encode([frames[start:end]], writer)
        decoded += coder.decode([payload], [end - start], reader)
    whole = coder.decode(coder.encode([frames])[0], [20])[0]
    joined = map(np.concatenate, zip(*decoded, strict=True))
    assert all(np.array_equal(*parts) for parts in zip(joined, whole, strict=True))


@pytest.mark.parametrize("shaping", [0, 8])
def test_what_is_written_is_what_training_counts(runtime, frames, shaping):
    network, frames = runtime.network, frames / 10  # few escapes, which are cheaper than their loss
    (payload,), (decoded,) = WaveformPackets(runtime.engine, Settings(350, shaping)).encode([frames])
    with torch.no_grad():
        grid = network.grid(torch.from_numpy(frames)[None], NetworkSettings.of(350, shaping))
        values = torch.from_numpy(decoded.coefficients) / grid.steps
        bits, levels = network(values.round().float(), grid)
    assert 8 * len(payload) == pytest.approx(float(bits.sum() + levels.sum()), rel=0.05)
    assert (levels.sum() > 0) == (shaping > 0)

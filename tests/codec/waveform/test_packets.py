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


@pytest.mark.parametrize("knee", [0, 120])
def test_packets_decode_to_what_was_chosen_side_by_side_or_alone(runtime, frames, knee):
    coder = WaveformPackets(runtime.engine, Settings(350, knee))
    packets = [frames[:30], frames[30:60], frames[60:90], frames[90:97]]
    payloads, errors = coder.encode(packets)
    decoded = coder.decode(payloads, [len(packet) for packet in packets])
    for packet, frame, error in zip(packets, decoded, errors, strict=True):
        assert np.allclose(packet - frame, error, atol=1e-12)
    assert np.array_equal(coder.decode(payloads[1:2], [30])[0], decoded[1])
    assert coder.encode(packets[3:])[0] == payloads[3:]


def test_packets_go_on_where_the_one_before_ended(runtime, frames):
    coder, frames = WaveformPackets(runtime.engine, Settings(350)), frames[:20]
    writer, reader = coder.start(), coder.start()
    decoded = []
    for start, end in ((0, 1), (1, 2), (2, 10), (10, 20)):
        (payload,), _ = coder.encode([frames[start:end]], writer)
        decoded += coder.decode([payload], [end - start], reader)
    whole = coder.decode(coder.encode([frames])[0], [20])[0]
    assert np.array_equal(np.concatenate(decoded), whole)


def test_what_is_written_is_what_training_counts(runtime, frames):
    network, settings = runtime.network, NetworkSettings.of(350)
    (payload,), (error,) = WaveformPackets(runtime.engine, Settings(350)).encode([frames])
    values = network.compress(torch.from_numpy(frames - error)[None], settings)
    with torch.no_grad():
        bits = float(network(values.round().float(), settings).sum())
    assert 8 * len(payload) == pytest.approx(bits, rel=0.05)  # escapes are cheaper than their loss

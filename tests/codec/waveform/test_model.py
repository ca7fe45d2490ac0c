import math

import numpy as np
import pytest
import torch

from codec.mdct import ExactMDCT
from codec.waveform import entropy
from codec.waveform.context import ContextConfig
from codec.waveform.engine import OnnxEngine
from codec.waveform.model import PRICE, Settings, WaveformCodec, WaveformConfig, guess, quantize
from codec.waveform.packets import WaveformPackets
from codec.waveform.rate import ideal_rate, measure_centroids

CONFIG = WaveformConfig(
    hop=40, context=ContextConfig(bins=40, channels=16, expansion=2, dilations=(1, 2), features=3, hidden=8)
)
SHAPED = Settings(torch.tensor([300, 500]), torch.tensor([120, 0]))


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return WaveformCodec(CONFIG).eval()


@pytest.fixture(scope="module")
def speech(spoken):
    return torch.from_numpy(spoken(1.0, seed=3))


def snr(signal, output):
    return 10 * math.log10(float(signal.square().sum() / (signal - output).square().sum()))


def test_expanding_undoes_compressing(codec):
    coefficients = torch.randn(2, 5, 40, dtype=torch.float64)
    values = codec.compress(coefficients, SHAPED)
    assert torch.allclose(codec.expand(values, SHAPED), coefficients, rtol=1e-10)


def test_steps_halve_every_64(codec):
    assert [float(codec.steps(Settings.of(step))) for step in (0, 64, 128, 1023)] == [1, 0.5, 0.25, 2 ** (-1023 / 64)]


def test_a_knee_makes_steps_grow_with_the_magnitude(codec):
    settings = Settings.of(128, knee=160)  # one step
    edges = codec.expand(torch.arange(8.0, dtype=torch.float64)[None, :, None].expand(1, 8, 40), settings)
    assert torch.allclose(edges[0, :, 0], 0.25 * torch.tensor([0, 2, 6, 12, 20, 30, 42, 56], dtype=torch.float64))


def test_quantising_weighs_error_against_bits(codec):
    values = torch.tensor([[[0.4, 0.55, 0.7, 1.45, 2.6, -0.7, -7.8]]])
    likely_zero = entropy.kinds(torch.tensor([-1.0, -0.25]).expand(1, 1, 7, 2))
    flat = entropy.kinds(torch.tensor([1.5, -0.25]).expand(1, 1, 7, 2))
    free = quantize(values, likely_zero, codec.prices, 0.0)
    assert free.flatten().tolist() == [0, 1, 1, 1, 3, -1, -8]
    assert quantize(values, flat, codec.prices, PRICE).flatten().tolist() == [0, 1, 1, 1, 3, -1, -8]
    assert quantize(values, likely_zero, codec.prices, PRICE).flatten().tolist()[:3] == [0, 0, 0]


def test_snr_is_there_before_the_first_training_step(codec, speech):
    exact = ExactMDCT(40)
    frames, _ = exact.analyse(exact.silence(), torch.nn.functional.pad(speech, (0, -len(speech) % 40 + 40)))
    settings = Settings.of(6 * 64)
    integers, parameters = codec.choose(frames[None], settings)
    decoded = codec.expand(codec.reconstruct(integers, entropy.kinds(parameters)), settings)
    audio, _ = exact.synthesise(exact.silence(), decoded[0])
    assert snr(speech.double(), audio[40 : 40 + len(speech)]) > 15
    assert ideal_rate(codec, speech, 20) < ideal_rate(codec, speech, 30)


def test_centroids_raise_the_snr(spoken, codec, speech):
    torch.manual_seed(0)
    fresh = WaveformCodec(CONFIG).eval()
    coefficients, settings = fresh.mdct(speech[None]), Settings.of(5 * 64)

    def reached():
        integers, parameters = fresh.choose(coefficients, settings)
        return snr(coefficients, fresh.expand(fresh.reconstruct(integers, entropy.kinds(parameters)), settings))

    before = reached()
    measure_centroids(fresh, torch.from_numpy(np.stack([spoken(1.0, seed) for seed in range(20)])))
    assert fresh.centroids.abs().max() > 0 and reached() > before


def test_saved_weights_are_small_and_give_the_same_bits(codec, speech, tmp_path):
    codec.save(tmp_path)
    loaded = WaveformCodec.load(tmp_path)
    integers = quantize(
        codec.compress(codec.mdct(speech[None]), Settings.of(300)),
        guess(codec.compress(codec.mdct(speech[None]), Settings.of(300))),
        codec.prices,
        PRICE,
    )
    with torch.no_grad():
        assert torch.equal(codec(integers, Settings.of(300)), loaded(integers, Settings.of(300)))
    assert loaded.config == CONFIG
    weights = sum(weight.numel() for weight in codec.parameters())
    tables = sum(table.numel() * table.element_size() for table in codec.buffers())
    assert (tmp_path / "model.safetensors").stat().st_size < 2 * weights + tables + 20_000


@pytest.mark.parametrize("knee", [0, 120])
def test_packets_decode_to_what_was_chosen_side_by_side_or_alone(codec, speech, knee):
    coder = WaveformPackets(codec, OnnxEngine(codec.context), 350, knee)
    frames = codec.mdct(speech[None])[0].double()
    packets = [frames[:30], frames[30:60], frames[60:90], frames[90:97]]
    payloads, errors = coder.encode(packets)
    decoded = coder.decode(payloads, [len(packet) for packet in packets])
    for packet, frame, error in zip(packets, decoded, errors, strict=True):
        assert torch.allclose(packet - frame, error, atol=1e-12)
    assert torch.equal(coder.decode(payloads[1:2], [30])[0], decoded[1])
    assert coder.encode(packets[3:])[0] == payloads[3:]


def test_packets_go_on_where_the_one_before_ended(codec, speech):
    coder = WaveformPackets(codec, OnnxEngine(codec.context), 350)
    frames = codec.mdct(speech[None])[0].double()[:20]
    writer, reader = coder.start(), coder.start()
    decoded = []
    for start in (0, 1, 2, 10):
        packet = frames[start : {0: 1, 1: 2, 2: 10, 10: 20}[start]]
        (payload,), _ = coder.encode([packet], writer)
        decoded += coder.decode([payload], [len(packet)], reader)
    whole = coder.decode(coder.encode([frames])[0], [20])[0]
    assert torch.equal(torch.cat(decoded), whole)


def test_what_is_written_is_what_training_counts(codec, speech):
    coder, settings = WaveformPackets(codec, OnnxEngine(codec.context), 350), Settings.of(350)
    frames = codec.mdct(speech[None])[0].double()
    (payload,), (error,) = coder.encode([frames])
    values = codec.compress((frames - error)[None], settings)
    with torch.no_grad():
        bits = float(codec(values.round().float(), settings).sum())
    assert 8 * len(payload) == pytest.approx(bits, rel=0.05)  # escapes are cheaper than their loss

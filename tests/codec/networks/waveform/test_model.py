import math

import numpy as np
import pytest
import torch

from telucodec.mdct import ExactMDCT
from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.ideal_rate import ideal_rate, measure_centroids
from telucodec.networks.waveform.model import Settings, WaveformCodec, guess, quantize
from telucodec.waveform.grids import BANDS, PRICE
from tests.codec.configurations import context_config, waveform_config

CONFIG = waveform_config(
    hop=40, context=context_config(bins=40, channels=16, expansion=2, dilations=(1, 2), features=3, hidden=8)
)


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return WaveformCodec(CONFIG).eval()


@pytest.fixture(scope="module")
def speech(spoken):
    return torch.from_numpy(spoken(1.0, seed=3))


def snr(signal, output):
    return 10 * math.log10(float(signal.square().sum() / (signal - output).square().sum()))


def test_steps_halve_every_64(codec):
    silence = torch.zeros(1, 1, 40, dtype=torch.float64)
    steps = [float(codec.grid(silence, Settings.of(step)).steps[0, 0, 0]) for step in (0, 64, 128, 1023)]
    assert steps == [1, 0.5, 0.25, 2 ** (-1023 / 64)]


def test_in_a_batch_some_packets_are_shaped(codec):
    grid = codec.grid(torch.randn(2, 5, 40), Settings(torch.tensor([300, 300]), torch.tensor([8, 0])))
    assert grid.levels.shape == (2, 3, BANDS) and grid.shaped.tolist() == [True, False]
    assert len(grid.steps[0].unique()) > 3 and len(grid.steps[1].unique()) == 1
    assert grid.expected[0].any() and not grid.expected[1].any()
    bits, levels = codec(torch.zeros(2, 5, 40), grid)
    assert (bits > 0).all() and (levels[0] > 0).all() and not levels[1].any()


def test_quantisation_weighs_error_against_bits(codec):
    values = torch.tensor([[[0.4, 0.55, 0.7, 1.45, 2.6, -0.7, -7.8]]])
    likely_zero = entropy.kinds(torch.tensor([-1.0, -0.25]).expand(1, 1, 7, 2))
    flat = entropy.kinds(torch.tensor([1.5, -0.25]).expand(1, 1, 7, 2))
    free = quantize(values, likely_zero, codec.prices, 0.0)
    assert free.flatten().tolist() == [0, 1, 1, 1, 3, -1, -8]
    assert quantize(values, flat, codec.prices, PRICE).flatten().tolist() == [0, 1, 1, 1, 3, -1, -8]
    assert quantize(values, likely_zero, codec.prices, PRICE).flatten().tolist()[:3] == [0, 0, 0]


def test_before_training_the_snr_follows_from_the_step(codec, speech):
    exact = ExactMDCT(40)
    frames, _ = exact.analyse(exact.silence(), np.pad(speech.numpy(), (0, -len(speech) % 40 + 40)))
    frames = torch.from_numpy(frames)
    grid = codec.grid(frames[None], Settings.of(6 * 64))
    integers, parameters = codec.choose(frames[None], grid)
    decoded = codec.reconstruct(integers, entropy.kinds(parameters)) * grid.steps
    audio, _ = exact.synthesise(exact.silence(), decoded[0].detach().numpy())
    assert snr(speech.double(), torch.from_numpy(audio[40 : 40 + len(speech)])) > 15
    assert ideal_rate(codec, speech, 20) < ideal_rate(codec, speech, 30)


def test_centroids_raise_the_snr(spoken, codec, speech):
    torch.manual_seed(0)
    fresh = WaveformCodec(CONFIG).eval()
    coefficients = fresh.mdct(speech[None])
    grid = fresh.grid(coefficients, Settings.of(5 * 64))

    def reached():
        integers, parameters = fresh.choose(coefficients, grid)
        return snr(coefficients, fresh.reconstruct(integers, entropy.kinds(parameters)) * grid.steps)

    before = reached()
    measure_centroids(fresh, torch.from_numpy(np.stack([spoken(1.0, seed) for seed in range(20)])))
    assert fresh.centroids.abs().max() > 0 and reached() > before


def test_saved_weights_are_small_and_exact(codec, speech, tmp_path):
    codec.save(tmp_path)
    loaded = WaveformCodec.load(tmp_path)
    grid = codec.grid(codec.mdct(speech[None]), Settings.of(300, 8))
    values = codec.mdct(speech[None]) / grid.steps
    integers = quantize(values, guess(values), codec.prices, PRICE)
    with torch.no_grad():
        for own, theirs in zip(codec(integers, grid), loaded(integers, grid), strict=True):
            assert torch.equal(own, theirs)
    assert loaded.config == CONFIG
    weights = sum(weight.numel() for weight in codec.parameters())
    tables = sum(table.numel() * table.element_size() for table in codec.buffers())
    assert (tmp_path / "model.safetensors").stat().st_size < 2 * weights + tables + 20_000

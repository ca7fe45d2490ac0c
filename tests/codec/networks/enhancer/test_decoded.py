import numpy as np
import pytest
import torch

from telucodec.networks.enhancer.decoded import amplitudes, decoded
from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.ideal_rate import measure_centroids, settings_for
from telucodec.networks.waveform.model import Settings, WaveformCodec
from telucodec.waveform.bands import Bands
from telucodec.waveform.filling import amplitudes as runtime_amplitudes
from telucodec.waveform.quantization import likely_zeros
from tests.codec.configurations import context_config, waveform_config


@pytest.fixture(scope="module")
def codec(spoken):
    torch.manual_seed(0)
    context = context_config(bins=40, channels=16, expansion=2, dilations=(1, 2), features=3, hidden=8)
    codec = WaveformCodec(waveform_config(hop=40, context=context)).eval()
    measure_centroids(codec, torch.from_numpy(np.stack([spoken(1.0, seed) for seed in range(4)])))
    return codec


@pytest.fixture(scope="module")
def coefficients(codec, spoken):
    return codec.mdct(torch.from_numpy(np.stack([spoken(0.5, seed) for seed in (5, 6)])))


def test_noise_is_as_strong_as_in_the_runtime(codec, coefficients):
    grid = codec.grid(coefficients, settings_for(coefficients, 0.0, 8))
    integers, parameters = codec.choose(coefficients, grid)
    kinds = entropy.kinds(parameters)
    read = codec.reconstruct(integers, kinds) * grid.steps
    found = amplitudes(codec, read.float(), kinds, grid).numpy()
    assert (found > 0).mean() > 0.3
    for item in range(2):
        likely = likely_zeros(kinds[item].numpy(), codec.centroids.numpy()) * grid.steps[item].numpy()
        levels = grid.levels[item].numpy().astype(int)
        steps = grid.steps[item].double().numpy()
        expected = runtime_amplitudes(read[item].double().numpy(), likely, steps, levels, Bands(40))
        np.testing.assert_allclose(found[item], expected, rtol=0.02, atol=2e-5)  # there on the grid of the MDCT


def test_finer_steps_leave_less_to_noise(codec, coefficients):
    signs = torch.ones_like(coefficients)
    coarse, fine = (decoded(codec, coefficients, settings_for(coefficients, octaves, 8), signs) for octaves in (1, -3))
    assert coarse.noise.square().sum() > 4 * fine.noise.square().sum()
    assert ((coarse.noise == 0) | (coarse.coefficients == 0)).all()


def test_packets_of_a_batch_keep_their_own_settings(codec, coefficients):
    both = Settings(torch.tensor([200, 500]), torch.tensor([8, 8]))
    signs = torch.ones_like(coefficients)
    whole = decoded(codec, coefficients, both, signs)
    for item in range(2):
        own = Settings(*(part[item : item + 1] for part in both))
        alone = decoded(codec, coefficients[item : item + 1], own, signs[:1])
        torch.testing.assert_close(alone.coefficients, whole.coefficients[item : item + 1])

"""The runtime's quantiser against that of the network that is trained."""

import numpy as np
import pytest
import torch

from telucodec.networks.waveform import entropy
from telucodec.networks.waveform import model as network_model
from telucodec.waveform.grids import PRICE, SCALES, WIDES
from telucodec.waveform.quantization import Prices, Scale, Settings, quantize, reconstruct

TABLE = entropy.frequency_table()


@pytest.mark.parametrize("settings", [Settings(300), Settings(300, 120), Settings(0, 255), Settings(1023, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_is_that_of_the_network(runtime, settings, dtype):
    coefficients = np.random.default_rng(0).standard_normal((1, 5, 40)).astype(dtype)
    theirs = network_model.Settings.of(*settings)
    values = Scale(settings).compress(coefficients)
    expected = runtime.network.compress(torch.from_numpy(coefficients), theirs).numpy()
    assert values.dtype == dtype and np.allclose(values, expected, rtol=4 * np.finfo(dtype).eps, atol=0)
    expanded = runtime.network.expand(torch.from_numpy(values), theirs).numpy()
    assert np.array_equal(Scale(settings).expand(values), expanded)  # to the bit: decoders do this


def test_conditions_are_those_of_the_network(runtime):
    for settings in (Settings(300), Settings(300, 120), Settings(1023, 255)):
        theirs = runtime.network.conditions(network_model.Settings.of(*settings))
        rounded = np.rint(np.array(settings.conditions) * 32) / 32
        assert theirs[0].tolist() == rounded.clip(-127 / 32, 127 / 32).tolist()


def test_choices_are_those_of_the_network():
    random = np.random.default_rng(0)
    values, kinds = random.standard_normal((3, 500)) * 4, random.integers(0, SCALES * WIDES, (3, 500))
    chosen = quantize(values, kinds, Prices(TABLE.numpy().astype(float)))
    given = torch.from_numpy(kinds)
    expected = network_model.quantize(torch.from_numpy(values), given, entropy.Prices(TABLE), PRICE).numpy()
    assert (chosen != expected).mean() < 0.001  # where both cost the same, rounding decides
    assert len(np.unique(chosen)) > 10


def test_reconstruction_is_that_of_the_network(runtime):
    random = np.random.default_rng(0)
    integers, kinds = random.integers(-5, 6, (7, 40)), random.integers(0, SCALES * WIDES, (7, 40))
    centroids = random.integers(-20, 20, runtime.network.centroids.shape).astype(np.int32)
    runtime.network.centroids.copy_(torch.from_numpy(centroids))
    expected = runtime.network.reconstruct(torch.from_numpy(integers), torch.from_numpy(kinds)).numpy()
    runtime.network.centroids.zero_()
    assert np.array_equal(reconstruct(integers, kinds, centroids), expected)

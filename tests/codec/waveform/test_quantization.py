"""The runtime's quantiser against that of the network that is trained."""

import numpy as np
import pytest
import torch

from telucodec.networks.waveform import entropy
from telucodec.networks.waveform import model as network_model
from telucodec.waveform.grids import BANDS, PRICE, SCALES, WIDES
from telucodec.waveform.quantization import Prices, Scale, Settings, quantize, reconstruct

TABLE = entropy.frequency_table()


@pytest.mark.parametrize("settings", [Settings(300), Settings(300, 8), Settings(0, 16), Settings(1023, 1)])
@pytest.mark.parametrize("frames", [1, 6, 7])
def test_grids_are_those_of_the_network(runtime, settings, frames):
    random = np.random.default_rng(frames)
    coefficients = random.standard_normal((frames, 40)) * 2.0 ** random.integers(-14, 2, (1, 40))
    own = Scale(settings, 40).measured(coefficients)
    theirs = runtime.network.grid(torch.from_numpy(coefficients)[None], network_model.Settings.of(*settings))
    assert np.array_equal(own.steps, theirs.steps[0].numpy())  # to the bit: decoders do this
    assert np.array_equal(own.expected / 32, theirs.expected[0].numpy())
    if settings.shaping:
        assert np.array_equal(own.levels, theirs.levels[0].numpy()) and len(own.levels) == (frames + 1) // 2
    rounded = np.rint(np.array(settings.conditions) * 32) / 32
    assert theirs.conditions[0].tolist() == rounded.clip(-127 / 32, 127 / 32).tolist()


def test_steps_grow_with_the_root_of_the_level():
    levels = np.array([[4] * BANDS, [12] * BANDS, [20] * BANDS])
    steps = Scale(Settings(320, 8), 40).grid(levels, 6).steps
    quieter = 2.0 ** (-8 * 52 / 64 / 2)  # eight levels, to the power 1/2
    assert np.allclose(steps[::2], 2.0**-5 * np.array([[quieter], [1], [1 / quieter]]))
    assert np.array_equal(steps[::2], steps[1::2])
    assert np.array_equal(Scale(Settings(320), 40).grid(levels[:0], 6).steps, np.full((6, 40), 2.0**-5))


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
    assert (reconstruct(np.zeros_like(integers), kinds, centroids) == 0).all()  # zeros have no sign

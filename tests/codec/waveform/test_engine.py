import numpy as np
import pytest
import torch

from telucodec.models import ModelFolder
from telucodec.networks.reference import TorchEngine
from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.model import Settings as NetworkSettings
from telucodec.waveform.engine import WaveformEngine
from telucodec.waveform.grids import PASSES
from telucodec.waveform.quantization import Scale, Settings

SETTINGS = Settings(500, 6)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).integers(-6, 7, (2, 40, 40)) ** 3


@pytest.fixture(scope="module")
def expected(runtime):
    """Envelopes over steps, as integer activations [2, 40, 40]."""
    coefficients = np.random.default_rng(2).standard_normal((2, 40, 40)) * np.logspace(-4, 0, 40)
    scale = Scale(SETTINGS, 40)
    return np.stack([scale.measured(packet).expected for packet in coefficients])


def walked(engine, frames, expected):
    walk, kinds = engine.walk(SETTINGS, len(frames)), np.zeros_like(frames)
    for number in range(frames.shape[1]):
        values = np.zeros_like(frames[:, number])
        for pass_number, bins in enumerate(PASSES):
            kinds[:, number, bins] = walk.kinds(pass_number, expected[:, number], values)
            values[:, bins] = frames[:, number, bins]
        walk.push(values)
    return kinds


def test_engines_agree_with_the_network_that_was_trained(runtime, frames, expected):
    network, folder, _ = runtime
    conditions = network.grid(torch.zeros(2, 1, 40), NetworkSettings.of(*SETTINGS, batch=2)).conditions
    with torch.no_grad():
        parameters = network.context(torch.from_numpy(frames).float(), conditions, torch.from_numpy(expected) / 32)
    kinds = entropy.kinds(parameters).numpy()
    assert len(np.unique(kinds)) > 50 and len(np.unique(expected)) > 50
    threads = [WaveformEngine(ModelFolder(folder.folder, "waveform", count)) for count in (1, 2)]
    for engine in (*threads, TorchEngine(network)):
        assert np.array_equal(walked(engine, frames, expected), kinds)


def test_engines_agree_where_steps_change_and_walks_part(runtime, frames, expected):
    kinds = []
    for engine in (runtime.engine, TorchEngine(runtime.network)):
        walk = engine.walk(SETTINGS, 2)
        for number in range(3):
            walk.kinds(0, expected[:, number], frames[:, number])
            walk.push(frames[:, number])
        twin = walk.copy()
        twin.change([Settings(300, 6), Settings(700, 6)])
        kinds.append([each.kinds(0, expected[:, 3], frames[:, 3]) for each in (twin, walk)])
    assert np.array_equal(*kinds) and not np.array_equal(*kinds[0])
    assert twin.steps.tolist() == [300, 700] and walk.steps.tolist() == [500, 500]


def test_packets_side_by_side_do_not_touch_each_other(runtime, frames, expected):
    other = np.concatenate([frames[:1], frames[:1] // 2])
    one, two = (walked(runtime.engine, part, expected)[0] for part in (frames, other))
    assert np.array_equal(one, two)


def test_the_envelope_matters(runtime, frames, expected):
    kinds = walked(runtime.engine, frames, expected)
    assert (kinds != walked(runtime.engine, frames, np.zeros_like(expected))).mean() > 0.1

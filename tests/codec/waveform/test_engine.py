import numpy as np
import pytest
import torch

from telucodec.models import ModelFolder
from telucodec.networks.reference import TorchEngine
from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.model import Settings as NetworkSettings
from telucodec.waveform.engine import WaveformEngine
from telucodec.waveform.grids import PASSES
from telucodec.waveform.quantization import Settings

SETTINGS = Settings(500, 120)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).integers(-6, 7, (2, 40, 40)) ** 3


def walked(engine, frames):
    walk, kinds = engine.walk(SETTINGS, len(frames)), np.zeros_like(frames)
    for number in range(frames.shape[1]):
        values = np.zeros_like(frames[:, number])
        for pass_number, bins in enumerate(PASSES):
            kinds[:, number, bins] = walk.kinds(pass_number, values)
            values[:, bins] = frames[:, number, bins]
        walk.push(values)
    return kinds


def test_engines_agree_with_the_network_that_was_trained(runtime, frames):
    network, folder, _ = runtime
    conditions = network.conditions(NetworkSettings.of(*SETTINGS, batch=2))
    with torch.no_grad():
        expected = entropy.kinds(network.context(torch.from_numpy(frames).float(), conditions)).numpy()
    assert len(np.unique(expected)) > 50
    threads = [WaveformEngine(ModelFolder(folder.folder, "waveform", count)) for count in (1, 2)]
    for engine in (*threads, TorchEngine(network)):
        assert np.array_equal(walked(engine, frames), expected)


def test_packets_side_by_side_do_not_touch_each_other(runtime, frames):
    other = np.concatenate([frames[:1], frames[:1] // 2])
    assert np.array_equal(walked(runtime.engine, frames)[0], walked(runtime.engine, other)[0])

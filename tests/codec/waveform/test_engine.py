import numpy as np
import pytest
import torch

from codec.waveform import entropy
from codec.waveform.context import PASSES, ContextConfig, ContextModel
from codec.waveform.engine import OnnxEngine, TorchEngine

CONFIG = ContextConfig(bins=40, channels=16, expansion=2, taps=3, dilations=(1, 2), features=3, hidden=8)
CONDITIONS = np.array([[0.5, 0.0], [-0.25, 1.5]], np.float32)


@pytest.fixture(scope="module")
def context():
    torch.manual_seed(0)
    model = ContextModel(CONFIG).eval()
    with torch.no_grad():  # biases are zero at the start; heads say little
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.1)
            if ".last." in name:
                weight.mul_(10)
    return model


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).integers(-6, 7, (2, 40, 40)) ** 3


def walked(engine, frames):
    walk, kinds = engine.walk(CONDITIONS), np.zeros_like(frames)
    for number in range(frames.shape[1]):
        values = np.zeros_like(frames[:, number])
        for pass_number, chosen in enumerate(PASSES):
            kinds[:, number, chosen] = walk.kinds(pass_number, values)
            values[:, chosen] = frames[:, number, chosen]
        walk.push(values)
    return kinds


def test_engines_agree_with_the_network_that_was_trained(context, frames):
    with torch.no_grad():
        expected = entropy.kinds(context(torch.from_numpy(frames).float(), torch.from_numpy(CONDITIONS))).numpy()
    assert len(np.unique(expected)) > 50
    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        for engine in (OnnxEngine(context), TorchEngine(context)):
            assert np.array_equal(walked(engine, frames), expected)
    torch.set_num_threads(threads)


def test_packets_side_by_side_do_not_touch_each_other(context, frames):
    engine = OnnxEngine(context)
    other = np.concatenate([frames[:1], frames[:1] // 2])
    assert np.array_equal(walked(engine, frames)[0], walked(engine, other)[0])

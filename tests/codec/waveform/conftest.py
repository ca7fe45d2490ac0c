from typing import NamedTuple

import pytest
import torch

from telucodec.models import ModelFolder
from telucodec.networks.runtime import complete
from telucodec.networks.waveform.model import WaveformCodec
from telucodec.waveform.engine import WaveformEngine
from tests.codec.configurations import context_config, waveform_config

CONFIG = context_config(bins=40, channels=16, expansion=2, taps=3, dilations=(1, 2), features=3, hidden=8)


class Runtime(NamedTuple):
    network: WaveformCodec
    folder: ModelFolder
    engine: WaveformEngine


@pytest.fixture(scope="session")
def runtime(tmp_path_factory):
    """A network whose context matters, and its engine."""
    torch.manual_seed(0)
    network, folder = WaveformCodec(waveform_config(hop=40, context=CONFIG)), tmp_path_factory.mktemp("waveform")
    with torch.no_grad():  # biases are zero at the start; heads say little
        for name, weight in network.named_parameters():
            if name.endswith("bias"):
                weight.normal_(std=0.1)
            if ".tell." in name:
                weight.normal_(std=0.3)
            if ".last." in name:
                weight.mul_(10)
    network.save(folder)
    complete(folder, "waveform")
    model = ModelFolder(folder, "waveform")
    return Runtime(WaveformCodec.load(folder), model, WaveformEngine(model))

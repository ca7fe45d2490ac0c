import pytest
import torch

from telucodec.networks.waveform.ideal_rate import ideal_rate
from telucodec.networks.waveform.model import WaveformCodec
from tests.codec.configurations import context_config, waveform_config

SMALL = context_config(bins=40, channels=16, expansion=2, dilations=(1, 2), features=3, hidden=8)


@pytest.fixture(scope="module")
def codec():
    torch.manual_seed(0)
    return WaveformCodec(waveform_config(hop=40, context=SMALL)).eval()


@pytest.mark.parametrize("level", [0.0, 1e-9, 1e-6])
@pytest.mark.parametrize("snr", [0, 25, 37])
def test_audio_that_is_too_quiet_to_be_coded_has_the_rate_of_silence(codec, level, snr):
    """All steps leave zeros, so the SNR is 0 dB at each of them."""
    noise = level * torch.randn(8000, generator=torch.Generator().manual_seed(0))
    assert ideal_rate(codec, noise, snr) == pytest.approx(ideal_rate(codec, torch.zeros(8000), 25), rel=0.01)

"""Tiny models for tests of files, API and command line: quick, and bad at coding."""

import pytest
import torch

import telucodec
from telucodec.models import ENHANCER
from telucodec.networks.enhancer.model import Enhancer, EnhancerConfig
from telucodec.networks.runtime import complete
from telucodec.networks.tokens.model import TokenCodec
from telucodec.networks.tokens.quantizer import sums
from telucodec.networks.waveform.model import WaveformCodec
from telucodec.waveform.grids import CENTROID_BITS
from tests.codec.configurations import context_config, tiny_token_config, waveform_config
from tests.conftest import speech


def fit_prior(tokens, audio):
    """Teach a codec how likely its tokens are."""
    with torch.no_grad():
        analysis = tokens.analyse(audio)
        codes = tokens.code(analysis)
        errors = tokens.errors(analysis, codes)
    prior, codebooks = tokens.prior, tokens.codebooks
    prior.set_scale(sums(codebooks, codes)[-1])
    prior.set_depths(errors)
    optimizer = torch.optim.AdamW(prior.parameters(), 3e-3, weight_decay=0.3)
    for _ in range(100):
        optimizer.zero_grad()
        prior(codes, codebooks).mean().backward()
        optimizer.step()


def save_models(folder):
    """Write both models into `folder` and return it."""
    torch.manual_seed(0)
    tokens = TokenCodec(tiny_token_config(num_codebooks=4))
    audio = torch.stack([torch.from_numpy(speech(4, seed)) for seed in range(3)])
    tokens.fit(audio)
    fit_prior(tokens, audio)
    context = context_config(channels=16, expansion=2, taps=2, dilations=(1, 2), features=2, hidden=8)
    waveform = WaveformCodec(waveform_config(context=context))
    waveform.centroids[:, 0] = 2**CENTROID_BITS // 4  # what is coded as 0 becomes noise
    for name, model in (("tokens", tokens), ("waveform", waveform)):
        (folder / name).mkdir(parents=True)
        model.save(folder / name)
        complete(folder / name, name)
    (folder / "waveform" / ENHANCER).mkdir()
    enhancer = Enhancer(EnhancerConfig(hop=240, channels=16, layers=1, kernel=2))
    with torch.no_grad():
        for weight in enhancer.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    enhancer.save(folder / "waveform" / ENHANCER)
    complete(folder / "waveform" / ENHANCER, ENHANCER)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def telu(models):
    return telucodec.load(models)

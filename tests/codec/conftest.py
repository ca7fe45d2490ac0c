"""Tiny models for tests of files, API and command line: quick, and bad at coding."""

import pytest
import torch

import codec
from codec.tokens.model import TokenCodec, TokenConfig
from codec.tokens.quantizer import QuantizerConfig
from codec.waveform.context import ContextConfig
from codec.waveform.model import WaveformCodec, WaveformConfig
from tests.conftest import speech


@torch.no_grad()
def fit_prior(tokens, audio):
    """Set what a codec thinks of the likelihood of its tokens."""
    latents = tokens.latents(audio)
    codes = tokens.quantizer(latents).codes
    tokens.prior.fit(tokens.quantizer.codebooks[0], codes, tokens.quantizer.errors(latents, codes))


def save_models(folder):
    """Write both models into `folder` and return it."""
    torch.manual_seed(0)
    quantizer = QuantizerConfig(levels=4, size=64)
    tokens = TokenCodec(
        TokenConfig(hop=160, latent=24, channels=16, encoder_layers=1, decoder_layers=1, quantizer=quantizer)
    )
    audio = torch.stack([torch.from_numpy(speech(4, seed)) for seed in range(3)])
    tokens.fit(audio)
    fit_prior(tokens, audio)
    context = ContextConfig(channels=16, expansion=2, taps=2, dilations=(1, 2), features=2, hidden=8)
    for name, model in (("tokens", tokens), ("waveform", WaveformCodec(WaveformConfig(context=context)))):
        (folder / name).mkdir(parents=True)
        model.save(folder / name)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def telu(models):
    return codec.load(models)

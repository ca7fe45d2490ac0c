import numpy as np
import pytest
import torch

from codec.tokens.model import TokenCodec, TokenConfig
from codec.tokens.quantizer import QuantizerConfig
from tests.codec.conftest import fit_prior

LEVELS, SIZE = 3, 64


@pytest.fixture(scope="session")
def speech(spoken):
    """A codec, and tokens of speech that its prior was not fitted to."""
    torch.manual_seed(0)
    quantizer = QuantizerConfig(levels=LEVELS, size=SIZE)
    codec = TokenCodec(
        TokenConfig(hop=160, latent=24, channels=16, encoder_layers=1, decoder_layers=1, quantizer=quantizer)
    ).eval()
    audio = torch.stack([torch.from_numpy(spoken(8, seed)) for seed in range(12) if seed != 9])
    codec.fit(audio)
    fit_prior(codec, audio)
    codes = codec.encode(torch.from_numpy(spoken(8, 9))[None])[0].numpy()
    differs = np.concatenate(
        [[True], (codes[:, 1:] != codes[:, :-1]).any(0)]
    )  # the pauses of this speech are digital silence
    return codec, codes[:, differs]

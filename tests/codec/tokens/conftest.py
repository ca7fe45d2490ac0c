from typing import NamedTuple

import numpy as np
import pytest
import torch

from telucodec.models import ModelFolder
from telucodec.networks.runtime import complete
from telucodec.networks.tokens.model import TokenCodec
from telucodec.tokens.engine import TokenEngine
from telucodec.tokens.entropy import TokenCoder
from tests.codec.configurations import tiny_token_config
from tests.codec.conftest import fit_prior

LEVELS, SIZE = 6, 64


class Speech(NamedTuple):
    """A codec, and tokens [codebooks, frames] of speech that its prior was not fitted to."""

    network: TokenCodec
    folder: ModelFolder
    coder: TokenCoder
    codes: np.ndarray


def runtime(network, folder):
    """The network as it is saved, and its folder as the runtime reads it."""
    network.save(folder)
    complete(folder, "tokens")
    return TokenCodec.load(folder), ModelFolder(folder, "tokens")


@pytest.fixture(scope="session")
def speech(spoken, tmp_path_factory):
    torch.manual_seed(0)
    network = TokenCodec(tiny_token_config(num_codebooks=LEVELS, codebook_size=SIZE)).eval()
    audio = torch.stack([torch.from_numpy(spoken(8, seed)) for seed in range(12) if seed != 9])
    network.fit(audio)
    fit_prior(network, audio)
    network, folder = runtime(network, tmp_path_factory.mktemp("speech"))
    codes = network.encode(torch.from_numpy(spoken(8, 9))[None])[0].numpy()
    differs = np.concatenate([[True], (codes[:, 1:] != codes[:, :-1]).any(0)])  # pauses of it are digital silence
    return Speech(network, folder, TokenEngine(folder).coder, codes[:, differs])


@pytest.fixture(scope="session")
def plain_coder(speech, tmp_path_factory):
    """The coder of a codec whose prior has learnt nothing."""
    network = TokenCodec(speech.network.config)
    network.load_state_dict(
        {name: value for name, value in speech.network.state_dict().items() if not name.startswith("prior.")},
        strict=False,
    )
    return TokenEngine(runtime(network, tmp_path_factory.mktemp("plain"))[1]).coder

"""Folders for transformers, loaded without a network."""

import os
from typing import NamedTuple

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

from telucodec.codec import SHIPPED, Codec, load
from telucodec.models import Models
from telucodec.networks.hub import folder as hub_folder
from telucodec.networks.runtime import complete
from telucodec.networks.tokens.model import TokenCodec
from telucodec.networks.torchaudio_import import import_torchaudio
from tests.codec.configurations import quantizer_config, token_config

import_torchaudio()  # transformers imports it, and fails next to a CPU-only PyTorch


class Exported(NamedTuple):
    """A folder for transformers, and the codec that it was made of."""

    folder: str
    codec: Codec


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "telucodec"
    folder.mkdir()
    hub_folder.write(SHIPPED / "tokens", folder)
    return Exported(str(folder), load(kinds=["tokens"]))


@pytest.fixture(scope="session")
def transform(tmp_path_factory, spoken):
    """Tokens of the waveform, with a learned encoder."""
    torch.manual_seed(0)
    quantizer = quantizer_config(num_codebooks=4, codebook_size=32)
    network = TokenCodec(
        token_config(latent_dim=16, channels=16, encoder_layers=1, decoder_layers=1, quantizer=quantizer)
    )
    network.fit(torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(2)]))
    source, folder = tmp_path_factory.mktemp("transform"), tmp_path_factory.mktemp("hub") / "transform"
    folder.mkdir()
    network.save(source)
    complete(source, "tokens")
    hub_folder.write(source, folder)
    return Exported(str(folder), Codec(Models({"tokens": source})))


@pytest.fixture(scope="session")
def model(shipped):
    from transformers import AutoModel

    return AutoModel.from_pretrained(shipped.folder, trust_remote_code=True)


@pytest.fixture(scope="session")
def extractor(shipped):
    from transformers import AutoFeatureExtractor

    return AutoFeatureExtractor.from_pretrained(shipped.folder, trust_remote_code=True)

"""Clips are analysed together, and measured each by itself."""

import numpy as np
import pytest
import torch

from pipeline.training.validation import validate
from telucodec.networks.tokens.losses import CodecLoss
from telucodec.networks.tokens.model import TokenCodec
from tests.codec.configurations import loss_config, quantizer_config, token_config
from tests.conftest import speech


class Clips(list):
    """A split of these clips alone."""

    def audible(self, count):
        return self


@pytest.mark.parametrize("changes", [{"coding": "vocoder", "latent_dim": 64, "encoder_layers": 0}, {}])
def test_clips_of_any_length_count_as_they_do_alone(changes):
    torch.manual_seed(0)
    codec = TokenCodec(token_config(**changes, quantizer=quantizer_config(num_codebooks=6, codebook_size=64)))
    clips = Clips(speech(seconds, seed=seed) for seed, seconds in enumerate((2.0, 0.7, 1.31)))
    codec.fit(torch.from_numpy(np.stack([speech(4, seed) for seed in range(3)])))
    together = validate(codec, CodecLoss(loss_config()), clips, torch.device("cpu"))
    alone = [validate(codec, CodecLoss(loss_config()), Clips([clip]), torch.device("cpu")) for clip in clips]
    for name, value in together.items():
        assert value == pytest.approx(np.mean([row[name] for row in alone]), rel=1e-3, abs=1e-4), name

"""The configuration of TeluCodec's tokens in the transformers library."""

import os
from typing import Any

from transformers import PretrainedConfig

# As in `telucodec`, which is not there: this file is loaded before any that imports ONNX Runtime.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class TeluCodecConfig(PretrainedConfig):
    """Shape of a token codec, with the names that EnCodec, DAC and Mimi have in transformers.

    Args:
        sampling_rate: in Hz.
        hop_length: samples of a frame.
        num_quantizers: the number of codebooks.
        codebook_size: the number of codes in each.
        latent_dim, coding, channels, encoder_layers, decoder_layers, kernel, compand, init, output_activation: as in
            `telucodec.networks.tokens.model.TokenConfig`.
        graphs: of each ONNX graph of the encoder, by name, its number of `bytes` and the names of its `weights`.
    """

    model_type = "telucodec"

    def __init__(
        self,
        sampling_rate: int = 16000,
        hop_length: int = 320,
        num_quantizers: int = 12,
        codebook_size: int = 1024,
        latent_dim: int = 64,
        coding: str = "vocoder",
        channels: int = 256,
        encoder_layers: int = 0,
        decoder_layers: int = 6,
        kernel: int = 7,
        compand: float = 1.0,
        init: str = "pca",
        output_activation: str = "none",
        graphs: dict[str, dict[str, Any]] | None = None,
        **kwargs: Any,
    ):
        self.sampling_rate, self.hop_length = sampling_rate, hop_length
        self.num_quantizers, self.codebook_size = num_quantizers, codebook_size
        self.latent_dim, self.coding = latent_dim, coding
        self.channels, self.kernel = channels, kernel
        self.encoder_layers, self.decoder_layers = encoder_layers, decoder_layers
        self.compand, self.init, self.output_activation = compand, init, output_activation
        self.graphs = graphs or {}
        super().__init__(**kwargs)

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sampling_rate / self.hop_length

    @property
    def num_codebooks(self) -> int:
        """Another name for `num_quantizers`."""
        return self.num_quantizers

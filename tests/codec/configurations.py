"""Configurations of networks for tests, with one value for whatever a test does not name. The defaults are in params.yaml."""

from typing import Any

from telucodec.networks.tokens.losses import LossConfig
from telucodec.networks.tokens.model import TokenConfig
from telucodec.networks.tokens.quantizer import QuantizerConfig
from telucodec.networks.waveform.context import ContextConfig
from telucodec.networks.waveform.model import WaveformConfig


def quantizer_config(**changes: Any) -> QuantizerConfig:
    values = {
        "num_codebooks": 8,
        "codebook_size": 1024,
        "init": "kmeans",
        "init_scale": 1.0,
        "ema_decay": 0.99,
        "ema_target": "residual",
        "commitment": "encoder",
        "loss_clamp": 10.0,
        "detach_residual": True,
        "dead_code_share": 0.1,
        "dead_code_floor": 0.2,
        "dropout": 0.5,
        "shared": 0.0,
        "beam": 4,
    }
    return QuantizerConfig(**values | changes)


def token_config(**changes: Any) -> TokenConfig:
    values = {
        "sample_rate": 16000,
        "coding": "transform",
        "hop": 320,
        "latent_dim": 64,
        "channels": 256,
        "encoder_layers": 4,
        "decoder_layers": 4,
        "kernel": 7,
        "compand": 1.0,
        "init": "pca",
        "output_activation": "none",
    }
    return TokenConfig(**{"quantizer": quantizer_config()} | values | changes)


def tiny_token_config(num_codebooks: int, codebook_size: int = 64) -> TokenConfig:
    """A codec that is quick and bad, of the kind of the shipped one."""
    quantizer = quantizer_config(num_codebooks=num_codebooks, codebook_size=codebook_size)
    return vocoder_config(channels=16, decoder_layers=1, quantizer=quantizer)


def vocoder_config(**changes: Any) -> TokenConfig:
    return token_config(**{"coding": "vocoder", "encoder_layers": 0} | changes)


def loss_config(**changes: Any) -> LossConfig:
    values = {
        "l1_weight": 1.0,
        "mse_weight": 0.5,
        "mse_clamp": 1.0,
        "perceptual_weight": 0.01,
        "stft_dtype": "float32",
        "vq_weight": 1.0,
        "snr_weight": 1.0,
        "shaped_snr_weight": 0.25,
        "shaping": 0.6,
        "mel_weight": 0.0,
        "level_weight": 0.0,
    }
    return LossConfig(**values | changes)


def context_config(**changes: Any) -> ContextConfig:
    values = {
        "bins": 240,
        "channels": 256,
        "expansion": 3,
        "taps": 4,
        "dilations": (1, 2, 4, 8),
        "features": 6,
        "hidden": 40,
    }
    return ContextConfig(**values | changes)


def waveform_config(**changes: Any) -> WaveformConfig:
    return WaveformConfig(**{"sample_rate": 16000, "hop": 240, "context": context_config()} | changes)

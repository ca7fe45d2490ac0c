"""The training loss of the token codec: waveform, spectral, SNR and quantiser terms."""

import contextlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from telucodec.networks import distributed
from telucodec.networks.precision import full_float32
from telucodec.networks.tokens.levels import LevelBias
from telucodec.networks.tokens.mel import MelDistance
from telucodec.networks.tokens.stft import stft

RESOLUTIONS = 512, 1024, 2048  # STFT windows in samples; hops are half of that
SHAPED_WINDOW = 512  # samples; the hop is a quarter of that
SHAPED_BINS, SHAPED_FRAMES = 9, 3  # over which a spectrum is smoothed: 280 Hz, 48 ms


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; params.yaml documents each setting."""

    l1_weight: float
    mse_weight: float
    mse_clamp: float | None
    perceptual_weight: float
    stft_dtype: Literal["float32", "autocast"]
    vq_weight: float
    snr_weight: float
    shaped_snr_weight: float
    shaping: float
    mel_weight: float
    level_weight: float


class CodecLoss(nn.Module):
    """Weighted sum of the terms. Terms of weight 0 are not computed."""

    def __init__(self, config: LossConfig):
        super().__init__()
        self.config = config
        for size in {*RESOLUTIONS, SHAPED_WINDOW}:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
        self.mel = MelDistance()
        self.level = LevelBias()

    def forward(self, audio: Tensor, output: Tensor, vq_loss: Tensor) -> dict[str, Tensor]:
        """Compare the codec's output [batch, samples] with the audio [batch, samples].

        Returns:
            `total`, the weighted sum, and each term with a weight above 0, unweighted: `l1`, `mse`, `perceptual`, `vq`,
            `snr`, `shaped_snr`, `mel`, `level`.
        """
        terms = {
            "l1": lambda: (audio - output).abs().mean(),
            "mse": lambda: self._mse(audio, output),
            "perceptual": lambda: self._multi_resolution_stft(audio, output),
            "vq": lambda: vq_loss,
            "snr": lambda: negative_snr(audio, output),
            "shaped_snr": lambda: self._shaped_snr(audio, output),
            "mel": lambda: self.mel(audio, output),
            "level": lambda: self.level(audio, output),
        }
        weights = {name: getattr(self.config, f"{name}_weight") for name in terms}
        values = {name: terms[name]() for name, weight in weights.items() if weight > 0}
        total = sum((weights[name] * value for name, value in values.items()), torch.zeros((), device=audio.device))
        return {"total": total, **values}

    def _window(self, size: int) -> Tensor:
        return self.get_buffer(f"window_{size}")

    def _mse(self, audio: Tensor, output: Tensor) -> Tensor:
        error = (audio - output).square().mean()
        return error if self.config.mse_clamp is None else distributed.clamp_mean(error, self.config.mse_clamp)

    def _multi_resolution_stft(self, audio: Tensor, output: Tensor) -> Tensor:
        """L1 distance of magnitudes and of their logarithms, over several resolutions (Yamamoto et al., arXiv 1910.11480)."""
        precision: contextlib.AbstractContextManager[None]
        if self.config.stft_dtype == "float32":
            precision, dtype = full_float32(audio.device), torch.float32
        else:
            precision, dtype = contextlib.nullcontext(), _autocast_dtype(audio.device.type)
        with precision:
            distances = [self._spectral_distance(audio, output, size, dtype) for size in RESOLUTIONS]
        return torch.stack(distances).mean()

    def _spectral_distance(self, audio: Tensor, output: Tensor, size: int, dtype: torch.dtype) -> Tensor:
        reference, coded = (
            # The FFT has no bfloat16 kernel. Half precision harms the small magnitudes and their logarithms.
            stft(signal.float(), size, size // 2, self._window(size)).abs().to(dtype)
            for signal in (audio, output)
        )
        magnitudes = functional.l1_loss(reference, coded)
        return magnitudes + functional.l1_loss((reference + 1e-4).log(), (coded + 1e-4).log())

    def _shaped_snr(self, audio: Tensor, output: Tensor) -> Tensor:
        """-SNR in nepers, with signal and noise divided by a power of the smoothed spectrum of the speech.

        This permits noise where the speech is loud and masks it: the perceptual weighting of Schroeder, Atal and Hall
        (JASA 66, 1979).
        """
        with full_float32(audio.device):
            spectrum, error = (
                stft(signal.float(), SHAPED_WINDOW, SHAPED_WINDOW // 4, self._window(SHAPED_WINDOW))
                for signal in (audio, audio - output)
            )
            power = spectrum.abs().square()
            area, padding = (SHAPED_BINS, SHAPED_FRAMES), (SHAPED_BINS // 2, SHAPED_FRAMES // 2)
            smooth = functional.avg_pool2d(power[:, None], area, 1, padding)[:, 0]
            weight = (smooth + 1e-5 * power.mean((1, 2), keepdim=True) + 1e-6) ** -self.config.shaping
            noise, signal = ((weight * part).sum((1, 2)) for part in (error.abs().square(), power))
            return 0.5 * (noise / (signal + 1e-8) + 1e-4).log().mean()


def negative_snr(audio: Tensor, output: Tensor) -> Tensor:
    """-SNR in nepers (1 Np = 8.69 dB), averaged over items: half the natural logarithm of noise over signal energy.

    `audio` and `output` are [batch, samples]. Above 40 dB, the gradient of an item fades, so that near-silent crops do
    not dominate.
    """
    noise = (audio - output).float().square().sum(1)
    signal = audio.float().square().sum(1)
    return 0.5 * ((noise + 1e-8) / (signal + 1e-8) + 1e-4).log().mean()


def _autocast_dtype(device: str) -> torch.dtype:
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32

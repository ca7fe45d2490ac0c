"""The training loss of the token codec: waveform, spectral, SNR and quantiser terms."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from codec import distributed
from codec.precision import full_float32
from codec.tokens.hearing import envelope_distance, loudness_distance

RESOLUTIONS = 512, 1024, 2048  # STFT windows in samples; hops are half
SHAPED_WINDOW = 512  # samples; hops are a quarter
SHAPED_BINS, SHAPED_FRAMES = 9, 3  # over which a spectrum is smoothed: 280 Hz, 48 ms


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; params.yaml says what each one does."""

    l1_weight: float = 1.0
    mse_weight: float = 0.5
    mse_clamp: float | None = 1.0
    perceptual_weight: float = 0.01
    stft_dtype: Literal["float32", "autocast"] = "float32"
    vq_weight: float = 1.0
    snr_weight: float = 1.0
    shaped_snr_weight: float = 0.25
    shaping: float = 0.6
    loudness_weight: float = 0.0
    envelope_weight: float = 0.0


class CodecLoss(nn.Module):
    """Weighted sum of the terms. A term of weight 0 is not computed."""

    def __init__(self, config: LossConfig):
        super().__init__()
        self.config = config
        for size in {*RESOLUTIONS, SHAPED_WINDOW}:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)

    def forward(self, audio: Tensor, output: Tensor, vq_loss: Tensor) -> dict[str, Tensor]:
        """Terms of audio [batch, samples] against the codec's output [batch, samples], and their weighted sum.

        Returns:
            `total` and every term with a weight above 0, unweighted: `l1`, `mse`, `perceptual`, `vq`, `snr`,
            `shaped_snr`, `loudness`, `envelope`.
        """
        terms = {
            "l1": lambda: (audio - output).abs().mean(),
            "mse": lambda: self._mse(audio, output),
            "perceptual": lambda: self._perceptual(audio, output),
            "vq": lambda: vq_loss,
            "snr": lambda: negative_snr(audio, output),
            "shaped_snr": lambda: self._shaped_snr(audio, output),
            "loudness": lambda: self._heard(loudness_distance, audio, output),
            "envelope": lambda: self._heard(envelope_distance, audio, output),
        }
        weights = {name: getattr(self.config, f"{name}_weight") for name in terms}
        values = {name: terms[name]() for name, weight in weights.items() if weight > 0}
        total = sum((weights[name] * value for name, value in values.items()), torch.zeros((), device=audio.device))
        return {"total": total, **values}

    def _mse(self, audio: Tensor, output: Tensor) -> Tensor:
        error = (audio - output).square().mean()
        return error if self.config.mse_clamp is None else distributed.clamp_mean(error, self.config.mse_clamp)

    def _perceptual(self, audio: Tensor, output: Tensor) -> Tensor:
        """Multi-resolution STFT loss: L1 of magnitudes and of their logarithms (Yamamoto et al., arXiv 1910.11480)."""
        device = audio.device.type
        if self.config.stft_dtype == "float32":
            precision, dtype = full_float32(audio.device), torch.float32
        else:
            precision, dtype = contextlib.nullcontext(), _autocast_dtype(device)
        with precision:
            distances = [self._spectral_distance(audio, output, size, dtype) for size in RESOLUTIONS]
        return torch.stack(distances).mean()

    def _spectral_distance(self, audio: Tensor, output: Tensor, size: int, dtype: torch.dtype) -> Tensor:
        window = getattr(self, f"window_{size}")
        magnitudes = [
            # The FFT itself has no bfloat16 kernel; what half precision harms is the small magnitudes and logarithms.
            torch.stft(signal.float(), size, size // 2, window=window, pad_mode="constant", return_complex=True)
            .abs()
            .to(dtype)
            for signal in (audio, output)
        ]
        logarithms = [(magnitude + 1e-4).log() for magnitude in magnitudes]
        return nn.functional.l1_loss(*magnitudes) + nn.functional.l1_loss(*logarithms)

    def _heard(self, distance: Callable[[Tensor, Tensor], Tensor], audio: Tensor, output: Tensor) -> Tensor:
        with full_float32(audio.device):
            return distance(audio, output).mean()

    def _shaped_snr(self, audio: Tensor, output: Tensor) -> Tensor:
        """-SNR in nepers, with signal and noise divided by a power of the smoothed spectrum of the speech.

        Noise may lie where speech is loud and hides it: the perceptual weighting of Schroeder, Atal and Hall (JASA 66, 1979).
        """
        with full_float32(audio.device):
            spectrum, error = (
                torch.stft(
                    signal.float(),
                    SHAPED_WINDOW,
                    SHAPED_WINDOW // 4,
                    window=getattr(self, f"window_{SHAPED_WINDOW}"),
                    pad_mode="constant",
                    return_complex=True,
                )
                for signal in (audio, audio - output)
            )
            power = spectrum.abs().square()
            window, around = (SHAPED_BINS, SHAPED_FRAMES), (SHAPED_BINS // 2, SHAPED_FRAMES // 2)
            smooth = nn.functional.avg_pool2d(power[:, None], window, 1, around)[:, 0]
            weight = (smooth + 1e-5 * power.mean((1, 2), keepdim=True) + 1e-6) ** -self.config.shaping
            noise, signal = ((weight * part).sum((1, 2)) for part in (error.abs().square(), power))
            return 0.5 * (noise / (signal + 1e-8) + 1e-4).log().mean()


def negative_snr(audio: Tensor, output: Tensor) -> Tensor:
    """Half the natural logarithm of noise over signal energy, averaged over items: -SNR in nepers (1 Np = 8.69 dB).

    audio and output are [batch, samples]. Above 40 dB an item's gradient fades, so that near-silent crops don't dominate.
    """
    noise = (audio - output).float().square().sum(1)
    signal = audio.float().square().sum(1)
    return 0.5 * ((noise + 1e-8) / (signal + 1e-8) + 1e-4).log().mean()


def _autocast_dtype(device: str) -> torch.dtype:
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32

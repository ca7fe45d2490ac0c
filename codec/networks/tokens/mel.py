"""Distance in the level of mel bands."""

import torch
from torch import Tensor, nn

from telucodec.networks.precision import full_float32
from telucodec.networks.tokens.stft import stft

SAMPLE_RATE = 16000  # Hz
RESOLUTIONS = (256, 40), (512, 64), (1024, 80)  # window in samples, number of bands; hops are a quarter of the window
FLOOR = 1e-3  # of a band's magnitude: at full scale, it lies near the noise of 16-bit samples


class MelDistance(nn.Module):
    """Mean distance of the logarithms of mel spectra at several resolutions, in nepers.

    Levels are compared as they are: a codec that fades a band pays for it, however it sounds to a measure that equalises.
    Source: the mel loss of HiFi-GAN (Kong et al., arXiv 2010.05646), at several resolutions.
    """

    def __init__(self) -> None:
        super().__init__()
        for size, bands in RESOLUTIONS:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            self.register_buffer(f"bands_{size}", mel_bands(size, bands), persistent=False)

    def forward(self, audio: Tensor, output: Tensor) -> Tensor:
        """The distance of output [batch, samples] from audio [batch, samples] (scalar)."""
        with full_float32(audio.device):
            distances = [
                (self._levels(audio, size) - self._levels(output, size)).abs().mean() for size, _ in RESOLUTIONS
            ]
        return torch.stack(distances).mean()

    def _levels(self, signal: Tensor, size: int) -> Tensor:
        window = self.get_buffer(f"window_{size}")
        power = stft(signal.float(), size, size // 4, window).abs().square()
        bands = power.transpose(1, 2) @ self.get_buffer(f"bands_{size}")
        return (bands + FLOOR**2).log() / 2


def mel_bands(size: int, bands: int) -> Tensor:
    """Weights [size // 2 + 1, bands] of overlapping triangles, evenly spaced in mel, each with a sum of 1.

    Mel is that of O'Shaughnessy, "Speech communication" (1987). A triangle is at least one bin wide.
    """
    top = 2595 * torch.tensor(1 + SAMPLE_RATE / 2 / 700).log10()
    corners = 700 * (10 ** (torch.linspace(0, 1, bands + 2) * top / 2595) - 1)
    place = corners * size / SAMPLE_RATE  # in bins
    bins = torch.arange(size // 2 + 1)[:, None]
    left, middle, right = place[:-2], place[1:-1], place[2:]
    rising = (bins - left) / (middle - left).clamp(min=1)
    falling = (right - bins) / (right - middle).clamp(min=1)
    weights = torch.minimum(rising, falling).clamp(min=0)
    nearest = (bins - middle).abs().argmin(0)
    weights[nearest, torch.arange(bands)] = weights[nearest, torch.arange(bands)].clamp(min=1e-3)
    return weights / weights.sum(0)

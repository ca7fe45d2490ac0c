"""The features of a frame that are quantised, and the spectrum rebuilt from them."""

import math

import torch
from torch import Tensor, nn

COMPRESSED_FLOOR, EXPANDED_FLOOR = 1e-4, 1e-8  # squares below which companding is linear, to bound its slope
BAND_RATIO = 1.16  # of the upper edge of a band to the lower
NOISE_FRAMES = 128  # the noise repeats after so many frames, 2.6 s
ENERGY_FLOOR = 1e-8


class Spectrum(nn.Module):
    """MDCT coefficients [batch, frames, hop], with an RMS of about 1, to features [batch, frames, size] and back.

    The features are the coefficients with their magnitudes raised to the power `compand`, so that quantisation noise
    follows the speech instead of lying flat below it. From `noise_from` Hz upwards, the loudness of each band is added.
    Energy of a band that the quantised coefficients lack is filled in with noise: perceptual noise substitution (Herre
    and Schultz, "Extending the MPEG-4 AAC codec by perceptual noise substitution", AES 104, 1998).
    """

    bands_of_bins: Tensor  # [hop, bands], 1 where a bin belongs to a band
    means: Tensor  # [hop, bands], turns squares of bins into means over bands
    weights: Tensor  # [bands], of the loudness features
    noise: Tensor  # [NOISE_FRAMES, hop], 1 or -1; only with bands

    def __init__(self, hop: int, sample_rate: int, compand: float, noise_from: float | None, noise_weight: float):
        super().__init__()
        self.hop, self.compand = hop, compand
        self.edges = band_edges(hop, sample_rate, noise_from)
        self.bands = len(self.edges) - 1
        bands = torch.zeros(hop, self.bands)
        for band, (start, end) in enumerate(zip(self.edges[:-1], self.edges[1:], strict=True)):
            bands[start:end, band] = 1
        widths = bands.sum(0)
        self.register_buffer("bands_of_bins", bands, persistent=False)
        self.register_buffer("means", bands / widths, persistent=False)
        self.register_buffer("weights", noise_weight * widths.sqrt(), persistent=False)
        if self.bands:  # saved with the weights, because no random generator guarantees the same numbers for ever
            self.register_buffer("noise", 2.0 * torch.randint(0, 2, (NOISE_FRAMES, hop)) - 1)

    @property
    def size(self) -> int:
        """The number of features of a frame."""
        return self.hop + self.bands

    def features(self, coefficients: Tensor) -> Tensor:
        """Coefficients [batch, frames, hop] to features [batch, frames, size]."""
        compressed = self._compress(coefficients)
        if not self.bands:
            return compressed
        loudness = (coefficients.square() @ self.means + ENERGY_FLOOR).sqrt()
        return torch.cat([compressed, self._compress(loudness) * self.weights], dim=2)

    def coefficients(self, features: Tensor, frame: int = 0) -> Tensor:
        """Features [batch, frames, size] to coefficients [batch, frames, hop]; `frame` is the number of the first one."""
        coded = self._expand(features[..., : self.hop])
        if not self.bands:
            return coded
        loudness = self._expand(features[..., self.hop :].relu() / self.weights)
        missing = (loudness.square() - coded.square() @ self.means).relu()
        numbers = torch.arange(frame, frame + features.shape[1], device=features.device) % NOISE_FRAMES
        return coded + (missing + ENERGY_FLOOR).sqrt() @ self.bands_of_bins.t() * self.noise[numbers]

    def _compress(self, x: Tensor) -> Tensor:
        return x if self.compand == 1 else x * (x.square() + COMPRESSED_FLOOR) ** ((self.compand - 1) / 2)

    def _expand(self, x: Tensor) -> Tensor:
        return x if self.compand == 1 else x * (x.square() + EXPANDED_FLOOR) ** ((1 / self.compand - 1) / 2)


def band_edges(hop: int, sample_rate: int, start: float | None) -> list[int]:
    """The bins at which bands begin, and `hop`. Bands span a sixth to a fifth of an octave, from `start` Hz; None: no bands."""
    if start is None:
        return [hop]
    first = max(round(start * 2 * hop / sample_rate), 1)
    count = max(round(math.log(hop / first) / math.log(BAND_RATIO)), 1)
    return sorted({round(first * (hop / first) ** (band / count)) for band in range(count + 1)})

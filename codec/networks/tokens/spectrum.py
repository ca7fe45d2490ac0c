"""What is coded of a frame's spectrum: its coefficients below a frequency, and the energies of bands above it."""

import itertools
import math

import torch
from torch import Tensor, nn

COMPRESSED_FLOOR, EXPANDED_FLOOR = 1e-4, 1e-8  # squares below which companding is linear, to bound its slope
BAND_RATIO = 1.16  # of the upper edge of a band to the lower
ENERGY_FLOOR = 1e-5  # added to the mean square of a band before its logarithm is taken
NOISE_FRAMES = 128  # the noise repeats after so many frames, 2.6 s


class Spectrum(nn.Module):
    """MDCT coefficients [batch, frames, hop], with an RMS of about 1, to what is coded of them, and back.

    Below `noise_from` Hz (None: everywhere) that is the coefficients, with their magnitudes raised to the power
    `compand`, so that quantisation noise follows the speech instead of lying flat below it. Above, only the energies of
    bands are coded, and noise of these energies stands for the coefficients: perceptual noise substitution (Herre and
    Schultz, "Extending the MPEG-4 AAC codec by perceptual noise substitution", AES 104, 1998).
    """

    means: Tensor  # [hop, bands], turns squares of bins into means over bands
    spread: Tensor  # [bands, hop], turns values of bands into values of bins, linear between the centres of bands
    noise: Tensor  # [NOISE_FRAMES, hop], 1 or -1; only with bands

    def __init__(self, hop: int, sample_rate: int, compand: float, noise_from: float | None):
        super().__init__()
        self.hop, self.compand = hop, compand
        edges = band_edges(hop, sample_rate, noise_from)
        self.coded, self.bands = edges[0], len(edges) - 1
        bands = torch.zeros(hop, self.bands)
        for band, (start, end) in enumerate(itertools.pairwise(edges)):
            bands[start:end, band] = 1
        self.register_buffer("means", bands / bands.sum(0), persistent=False)
        self.register_buffer("spread", _interpolation(edges), persistent=False)
        if self.bands:  # saved with the weights, because no random generator guarantees the same numbers for ever
            self.register_buffer("noise", 2.0 * torch.randint(0, 2, (NOISE_FRAMES, hop)) - 1)

    def compressed(self, coefficients: Tensor) -> Tensor:
        """Coefficients [batch, frames, hop] to those that are coded, companded [batch, frames, coded]."""
        x = coefficients[..., : self.coded]
        return x if self.compand == 1 else x * (x.square() + COMPRESSED_FLOOR) ** ((self.compand - 1) / 2)

    def expanded(self, x: Tensor) -> Tensor:
        """Companded coefficients [batch, frames, coded] to coefficients [batch, frames, coded]."""
        return x if self.compand == 1 else x * (x.square() + EXPANDED_FLOOR) ** ((1 / self.compand - 1) / 2)

    def energies(self, coefficients: Tensor) -> Tensor:
        """Coefficients [batch, frames, hop] to the energies of the bands [batch, frames, bands], in nepers."""
        return 0.5 * (coefficients.square() @ self.means + ENERGY_FLOOR).log()

    def levels(self, energies: Tensor) -> Tensor:
        """Energies [batch, frames, bands] to the level of every bin [batch, frames, hop], in nepers."""
        return energies @ self.spread

    def noise_frames(self, first: int, count: int) -> Tensor:
        """Noise [count, hop] of magnitude 1 for the frames from number `first` on."""
        return self.noise[torch.arange(first, first + count, device=self.noise.device) % NOISE_FRAMES]


def band_edges(hop: int, sample_rate: int, start: float | None) -> list[int]:
    """The bins at which bands begin, and `hop`. Bands span a sixth to a fifth of an octave, from `start` Hz; None: no bands."""
    if start is None:
        return [hop]
    first = max(round(start * 2 * hop / sample_rate), 1)
    count = max(round(math.log(hop / first) / math.log(BAND_RATIO)), 1)
    return sorted({round(first * (hop / first) ** (band / count)) for band in range(count + 1)})


def _interpolation(edges: list[int]) -> Tensor:
    """Weights [bands, hop] of bands for bins: linear between the centres of bands, constant beyond the first and the last."""
    hop, bands = edges[-1], len(edges) - 1
    if not bands:
        return torch.zeros(0, hop)
    centres = (torch.tensor(edges[:-1]) + torch.tensor(edges[1:]) - 1) / 2
    bins = torch.arange(hop).clamp(centres[0], centres[-1])
    lower = (torch.searchsorted(centres, bins.float(), right=True) - 1).clamp(0, max(bands - 2, 0))
    upper = (lower + 1).clamp(max=bands - 1)
    share = ((bins - centres[lower]) / (centres[upper] - centres[lower]).clamp(min=1)).float()
    weights = torch.zeros(bands, hop)
    weights[lower, torch.arange(hop)] += 1 - share
    weights[upper, torch.arange(hop)] += share
    return weights

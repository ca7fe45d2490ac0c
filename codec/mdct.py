"""The modified discrete cosine transform: the frames every TeluCodec model works on."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from codec.precision import full_float32

SAMPLE_BITS, BASIS_BITS = 18, 20  # grids of samples (and coefficients) and of the basis in `ExactMDCT`


def mdct_basis(hop: int) -> Tensor:
    """Windowed cosines [hop, 2 * hop], float64."""
    sample = torch.arange(2 * hop, dtype=torch.float64)
    frequency = torch.arange(hop, dtype=torch.float64)[:, None]
    window = torch.sin(math.pi * (sample + 0.5) / (2 * hop))
    phase = math.pi / hop * (sample + 0.5 + hop / 2) * (frequency + 0.5)
    return window * math.sqrt(2 / hop) * torch.cos(phase)


class MDCT(nn.Module):
    """Orthonormal MDCT with a sine window of `2 * hop` samples.

    Frame `t` covers the samples from `(t - 1) * hop` to `(t + 1) * hop`, so a signal of `T` samples has
    `ceil(T / hop) + 1` frames and the transform looks ahead by one hop. The transform is orthonormal: the squared error
    of the coefficients is the squared error of the samples.

    Source: Princen, Johnson and Bradley, "Subband/transform coding using filter bank designs based on time domain
    aliasing cancellation", ICASSP 1987.
    """

    def __init__(self, hop: int):
        super().__init__()
        self.hop = hop
        self.register_buffer("basis", mdct_basis(hop).float(), persistent=False)

    def frames(self, samples: int) -> int:
        """The number of frames of a signal of `samples` samples."""
        return -(-samples // self.hop) + 1

    def forward(self, audio: Tensor) -> Tensor:
        """Analysis: audio [batch, samples] to coefficients [batch, frames, hop], in float32 whatever autocast does."""
        padded = functional.pad(audio, (0, -audio.shape[1] % self.hop + self.hop))
        return self.analyse(self.silence(len(audio)), padded)[0]

    def inverse(self, coefficients: Tensor, samples: int) -> Tensor:
        """Synthesis: coefficients [batch, frames, hop] to audio [batch, samples], in float32."""
        audio, _ = self.synthesise(self.silence(len(coefficients)), coefficients)
        return audio[:, self.hop : self.hop + samples]

    def silence(self, batch: int) -> Tensor:
        """What comes before the first sample, for either direction: [batch, hop] zeros."""
        return self.basis.new_zeros(batch, self.hop)

    def analyse(self, before: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients [batch, frames, hop] of whole hops of audio [batch, frames * hop], which follow `before` [batch, hop].

        Returns the coefficients and the last hop, which comes before the next ones.
        """
        with full_float32(audio.device):
            blocks = torch.cat([before, audio.float()], dim=1).unflatten(1, (-1, self.hop))
            return torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=2) @ self.basis.t(), blocks[:, -1]

    def synthesise(self, overlap: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Audio [batch, frames * hop] of coefficients [batch, frames, hop], to whose first hop `overlap` [batch, hop] is added.

        It lies one hop before the frames' end. Returns the audio and the overlap with the next frames.
        """
        with full_float32(coefficients.device):
            windowed = coefficients.float() @ self.basis
            waiting = torch.cat([overlap[:, None], windowed[..., self.hop :]], dim=1)
            return (windowed[..., : self.hop] + waiting[:, :-1]).flatten(1), waiting[:, -1]


class ExactMDCT:
    """The MDCT of `MDCT`, frame by frame and the same to the last bit on every machine, in float64.

    Samples and coefficients are rounded to multiples of 2^-18 and the basis to multiples of 2^-20, so that every product
    and sum is exact, in any order, for magnitudes up to 64.
    """

    def __init__(self, hop: int):
        self.hop = hop
        self._basis = _on_grid(mdct_basis(hop), BASIS_BITS)

    def analyse(self, before: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Frames [frames, hop] of whole hops of audio [frames * hop], which follow the samples `before` [hop].

        Returns the frames and the last hop, which comes before the next ones.
        """
        blocks = _on_grid(torch.cat([before, audio.double()]), SAMPLE_BITS).view(-1, self.hop)
        return torch.cat([blocks[:-1], blocks[1:]], dim=1) @ self._basis.t(), blocks[-1]

    def synthesise(self, overlap: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Audio [frames * hop] of frames [frames, hop], to whose first hop `overlap` [hop] is added.

        It lies one hop before the frames' end. Returns the audio and the overlap with the next frames.
        """
        windowed = _on_grid(frames, SAMPLE_BITS) @ self._basis
        waiting = torch.cat([overlap[None], windowed[:, self.hop :]])
        return (windowed[:, : self.hop] + waiting[:-1]).flatten(), waiting[-1]

    def silence(self) -> Tensor:
        """What comes before the first sample, for either direction: [hop] zeros."""
        return torch.zeros(self.hop, dtype=torch.float64)


def _on_grid(x: Tensor, bits: int) -> Tensor:
    return (x.double() * 2.0**bits).round() * 2.0**-bits

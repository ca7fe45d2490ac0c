"""The modified discrete cosine transform: the frames every TeluCodec model works on."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from codec.precision import full_float32


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
        sample = torch.arange(2 * hop, dtype=torch.float64)
        frequency = torch.arange(hop, dtype=torch.float64)[:, None]
        window = torch.sin(math.pi * (sample + 0.5) / (2 * hop))
        phase = math.pi / hop * (sample + 0.5 + hop / 2) * (frequency + 0.5)
        basis = window * math.sqrt(2 / hop) * torch.cos(phase)
        self.register_buffer("basis", basis.float(), persistent=False)

    def frames(self, samples: int) -> int:
        """The number of frames of a signal of `samples` samples."""
        return -(-samples // self.hop) + 1

    def forward(self, audio: Tensor) -> Tensor:
        """Analysis: audio [batch, samples] to coefficients [batch, frames, hop], in float32 whatever autocast does."""
        with full_float32(audio.device):
            tail = -audio.shape[1] % self.hop
            padded = functional.pad(audio.float(), (self.hop, tail + self.hop))
            blocks = padded.reshape(audio.shape[0], -1, self.hop)
            return torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=2) @ self.basis.t()

    def inverse(self, coefficients: Tensor, samples: int) -> Tensor:
        """Synthesis: coefficients [batch, frames, hop] to audio [batch, samples], in float32."""
        with full_float32(coefficients.device):
            windowed = coefficients.float() @ self.basis
            blocks = windowed[:, :-1, self.hop :] + windowed[:, 1:, : self.hop]
            return blocks.reshape(coefficients.shape[0], -1)[:, :samples]

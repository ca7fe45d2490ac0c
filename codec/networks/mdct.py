"""The modified discrete cosine transform (MDCT) on batches; all networks work on its frames."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from telucodec.mdct import mdct_basis
from telucodec.networks.precision import full_float32


class MDCT(nn.Module):
    """Orthonormal MDCT with a sine window of `2 * hop` samples.

    Frame `t` covers the samples from `(t - 1) * hop` to `(t + 1) * hop`. A signal of `T` samples therefore has
    `ceil(T / hop) + 1` frames, and the transform looks ahead by one hop. Because the transform is orthonormal, the
    squared error of the coefficients equals the squared error of the samples.

    Source: Princen, Johnson and Bradley, "Subband/transform coding using filter bank designs based on time domain
    aliasing cancellation", ICASSP 1987.
    """

    basis: Tensor  # [hop, 2 * hop]

    def __init__(self, hop: int):
        super().__init__()
        self.hop = hop
        self.register_buffer("basis", torch.from_numpy(mdct_basis(hop)).float(), persistent=False)

    def frames(self, samples: int) -> int:
        """The number of frames in a signal of `samples` samples."""
        return -(-samples // self.hop) + 1

    def forward(self, audio: Tensor) -> Tensor:
        """Transform audio [batch, samples] to coefficients [batch, frames, hop]; always in float32, even under autocast."""
        padded = functional.pad(audio, (0, -audio.shape[1] % self.hop + self.hop))
        return self.analyse(self.silence(len(audio)), padded)[0]

    def inverse(self, coefficients: Tensor, samples: int) -> Tensor:
        """Transform coefficients [batch, frames, hop] back to audio [batch, samples], in float32."""
        audio, _ = self.synthesise(self.silence(len(coefficients)), coefficients)
        return audio[:, self.hop : self.hop + samples]

    def silence(self, batch: int) -> Tensor:
        """The state before the first sample, in either direction: zeros [batch, hop]."""
        return self.basis.new_zeros(batch, self.hop)

    def analyse(self, before: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Transform whole hops of audio.

        Args:
            before: [batch, hop], the hop that precedes `audio`.
            audio: [batch, frames * hop].

        Returns:
            The coefficients [batch, frames, hop], and the last hop of `audio`, which is `before` in the next call.
        """
        with full_float32(audio.device):
            blocks = torch.cat([before, audio.float()], dim=1).unflatten(1, (-1, self.hop))
            return torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=2) @ self.basis.t(), blocks[:, -1]

    def synthesise(self, overlap: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Invert the transform, frame by frame.

        Args:
            overlap: [batch, hop], added to the first hop of the output.
            coefficients: [batch, frames, hop].

        Returns:
            Audio [batch, frames * hop], which ends one hop before the last frame does, and the `overlap` for the next call.
        """
        with full_float32(coefficients.device):
            windowed = coefficients.float() @ self.basis
            waiting = torch.cat([overlap[:, None], windowed[..., self.hop :]], dim=1)
            return (windowed[..., : self.hop] + waiting[:, :-1]).flatten(1), waiting[:, -1]

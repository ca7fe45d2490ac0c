"""What the two kinds of token codec have in common: what they quantise of speech, and what they make of it."""

from abc import abstractmethod
from typing import Any, NamedTuple

from torch import Tensor, nn


class Analysis(NamedTuple):
    """What is coded of audio."""

    own: Tensor  # [batch, places, frames], the codes of the codebooks that are not learned
    latents: Tensor  # [batch, frames, latent_dim], for the residual codebooks


class Coding(nn.Module):
    """Everything of a token codec but its quantiser, its decoder network and its prior."""

    places: tuple[int, ...]  # the codebooks that are not learned, by number
    described: int  # values that describe their codes to networks
    outputs: int  # values of a frame that the decoder network returns; zeros before training
    descriptions: Tensor  # [places, codebook_size, described]; each describes a part, the rest is zero

    @property
    @abstractmethod
    def absent(self) -> Tensor:
        """The latents [latent_dim] of a frame without any code."""

    @abstractmethod
    def fit(self, audio: Tensor) -> None:
        """Take statistics of speech [batch, samples]."""

    @abstractmethod
    def analysis_start(self, batch: int) -> Any:
        """The state of `analyse` before the first sample."""

    @abstractmethod
    def analyse(self, audio: Tensor, state: Any) -> tuple[Analysis, Any]:
        """Audio [batch, frames * hop], in which each hop completes a frame, and the state for the next call."""

    def analyse_whole(self, audio: Tensor) -> Analysis:
        """As `analyse`, of recordings [batch, frames * hop] from their start. Where they are, and equal but for rounding."""
        return self.analyse(audio, self.analysis_start(len(audio)))[0]

    @abstractmethod
    def synthesis_start(self, batch: int) -> Any:
        """The state of `synthesise` before the first frame."""

    @abstractmethod
    def synthesise(self, own: Tensor, latents: Tensor, decoded: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Audio [batch, frames * hop], a hop behind the frames, and the state for the next call.

        Args:
            own: [batch, places, frames], -1 for no code.
            latents: [batch, frames, latent_dim].
            decoded: [batch, frames, outputs], of the decoder network.
        """

"""Waveform tokens: all codebooks code MDCT coefficients, from 0 Hz to half the sample rate."""

import torch
from torch import Tensor, nn

from telucodec.networks.mdct import MDCT
from telucodec.networks.tokens.blocks import CausalStack
from telucodec.networks.tokens.coding import Analysis, Coding

COMPRESSED_FLOOR, EXPANDED_FLOOR = 1e-4, 1e-8  # squares below which companding is linear, to bound its slope

AnalysisState = tuple[Tensor, list[Tensor]]  # [batch, hop], the samples before the next ones; the state of the encoder


class Transform(Coding):
    """MDCT, companding, a rotation to principal components and, with `encoder_layers`, a learned change of them.

    Magnitudes are raised to the power `compand`, so that quantisation noise follows the speech instead of lying flat below it.
    """

    places: tuple[int, ...] = ()
    described = 0
    level: Tensor  # scalar, RMS of the MDCT coefficients; everything else works on coefficients divided by it
    descriptions: Tensor

    def __init__(
        self,
        hop: int,
        latent_dim: int,
        compand: float,
        encoder: CausalStack | None,
        principal: bool,
        output_activation: str,
        codebook_size: int,
    ):
        super().__init__()
        self.mdct, self.compand, self.outputs = MDCT(hop), compand, hop
        self.principal, self.output_activation = principal, output_activation
        self.analysis = nn.Linear(hop, latent_dim, bias=False)
        self.synthesis = nn.Linear(latent_dim, hop, bias=False)
        self.encoder = encoder
        self.analysis.requires_grad_(encoder is not None)  # without layers there is nothing to learn
        self.register_buffer("level", torch.ones(()))
        self.register_buffer("descriptions", torch.zeros(0, codebook_size, 0), persistent=False)

    @property
    def absent(self) -> Tensor:
        return self.analysis.weight.new_zeros(len(self.analysis.weight))

    @torch.no_grad()
    def fit(self, audio: Tensor) -> None:
        """Take level and principal components from speech [batch, samples]."""
        coefficients = self.mdct(audio)
        self.level.copy_(coefficients.square().mean().sqrt().clamp(min=1e-8))
        if self.principal:
            flat = self.compressed(coefficients / self.level).flatten(0, 1)
            _, vectors = torch.linalg.eigh(flat.t() @ flat / len(flat))
            components = vectors[:, -len(self.analysis.weight) :].flip(1)
            self.analysis.weight.copy_(components.t())
            self.synthesis.weight.copy_(components)

    def analysis_start(self, batch: int) -> AnalysisState:
        return self.mdct.silence(batch), [] if self.encoder is None else self.encoder.start(batch)

    def analyse(self, audio: Tensor, state: AnalysisState) -> tuple[Analysis, AnalysisState]:
        before, past = state
        coefficients, before = self.mdct.analyse(before, audio)
        compressed = self.compressed(coefficients / self.level)
        latents = self.analysis(compressed)
        if self.encoder is not None:
            encoded, past = self.encoder(compressed, past)
            latents = latents + encoded
        batch, frames, _ = latents.shape
        return Analysis(latents.new_zeros(batch, 0, frames, dtype=torch.int64), latents), (before, past)

    def synthesis_start(self, batch: int) -> Tensor:
        return self.mdct.silence(batch)

    def synthesise(self, own: Tensor, latents: Tensor, decoded: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        coefficients = self.expanded((self.synthesis(latents) + decoded).float()) * self.level
        audio, state = self.mdct.synthesise(state, coefficients)
        return audio.tanh() if self.output_activation == "tanh" else audio, state

    def compressed(self, x: Tensor) -> Tensor:
        """Coefficients [batch, frames, hop] with an RMS of about 1, companded."""
        return x if self.compand == 1 else x * (x.square() + COMPRESSED_FLOOR) ** ((self.compand - 1) / 2)

    def expanded(self, x: Tensor) -> Tensor:
        """Companded coefficients [batch, frames, hop] to coefficients."""
        return x if self.compand == 1 else x * (x.square() + EXPANDED_FLOOR) ** ((1 / self.compand - 1) / 2)

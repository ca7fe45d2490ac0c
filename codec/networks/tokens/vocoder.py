"""Vocoder tokens: two codebooks code pitch and phase, the others the spectrum."""

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from telucodec.networks.precision import full_float32
from telucodec.networks.tokens import analysis, excitation
from telucodec.networks.tokens.coding import Analysis, Coding
from telucodec.vocoder import filters
from telucodec.vocoder.analysis import FEATURES, SpeechAnalysis, silence
from telucodec.vocoder.codes import VocoderCodes
from telucodec.vocoder.frames import HOP, STEP
from telucodec.vocoder.phase import fitted, turns_of

FITTED_FRAMES = 6000  # from which the shapes of phases are found

SynthesisState = tuple[excitation.State, Tensor]  # [batch, 3, STEP], what waits for the next samples


class Vocoder(Coding):
    """`telucodec.vocoder` on batches. The latents are the principal components of the levels of the spectra.

    The decoder network corrects the filters, and no gradient is needed before them.
    """

    outputs = filters.OUTPUTS
    mean: Tensor  # [FEATURES], of the levels
    components: Tensor  # [latent_dim, FEATURES], orthonormal rows: from levels to latents, and back
    shapes: Tensor  # [shapes, KNOTS], angles
    descriptions: Tensor

    def __init__(self, latent_dim: int, num_codebooks: int, codebook_size: int):
        super().__init__()
        self._sizes = num_codebooks, codebook_size
        count = codebook_size // turns_of(codebook_size)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("components", torch.eye(FEATURES)[:latent_dim])
        self.register_buffer("shapes", torch.zeros(count, len(filters.KNOTS)))
        self.register_buffer("silence", torch.from_numpy(silence()), persistent=False)
        self.places, self.described = self.codes.places, self.codes.described
        self.register_buffer("descriptions", torch.from_numpy(self.codes.descriptions), persistent=False)
        for name, table in filters.tables()._asdict().items():
            self.register_buffer(f"table_{name}", torch.from_numpy(table).float(), persistent=False)

    @property
    def absent(self) -> Tensor:
        return (self.get_buffer("silence") - self.mean) @ self.components.t()

    @property
    def codes(self) -> VocoderCodes:
        """What codes of pitch and phase stand for, with the shapes of now."""
        return VocoderCodes(self.shapes.cpu().numpy(), *self._sizes)

    @torch.no_grad()
    def fit(self, audio: Tensor) -> None:
        """Take mean and components of levels, and the shapes of phases, from speech [batch, samples]."""
        signals = audio[:, : audio.shape[1] // HOP * HOP].double().cpu().numpy()
        measured = [one.measure(signal) for one, signal in zip(self.analysis_start(len(audio)), signals, strict=True)]
        levels = torch.from_numpy(np.stack([each.levels for each in measured])).to(audio.device)
        self.mean.copy_(levels.mean((0, 1)))
        flat = (levels - self.mean).flatten(0, 1)
        _, vectors = torch.linalg.eigh(flat.t() @ flat / len(flat))
        self.components.copy_(vectors[:, -len(self.components) :].flip(1).t())
        some = measured[: max(FITTED_FRAMES // levels.shape[1], 1)]
        self.shapes.copy_(torch.from_numpy(fitted([(each.harmonics, each.track) for each in some], self._sizes[1])))

    def analysis_start(self, batch: int) -> list[SpeechAnalysis]:
        codes = self.codes
        return [SpeechAnalysis(codes.pitch, codes.phase) for _ in range(batch)]

    @torch.no_grad()
    def analyse(self, audio: Tensor, state: list[SpeechAnalysis]) -> tuple[Analysis, list[SpeechAnalysis]]:
        state, signals = copy.deepcopy(state), audio.double().cpu().numpy()
        found = [one.push(signal) for one, signal in zip(state, signals, strict=True)]
        codes, levels = (torch.from_numpy(np.stack(part)).to(audio.device) for part in zip(*found, strict=True))
        return self._rotated(codes, levels), state

    @torch.no_grad()
    def analyse_whole(self, audio: Tensor) -> Analysis:
        return self._rotated(*analysis.described(self._words(), audio))

    def _rotated(self, codes: Tensor, levels: Tensor) -> Analysis:
        with full_float32(levels.device):
            return Analysis(codes[:, : len(self.places)], (levels - self.mean) @ self.components.t())

    def _words(self) -> excitation.Codewords:
        return excitation.codewords(self.shapes, self._sizes[1])

    def synthesis_start(self, batch: int) -> SynthesisState:
        return excitation.start(batch, self.mean.device), self.mean.new_zeros(batch, 3, STEP)

    def synthesise(
        self, own: Tensor, latents: Tensor, decoded: Tensor, state: SynthesisState
    ) -> tuple[Tensor, SynthesisState]:
        pitch, phase = functional.pad(own, (0, 0, 0, 2 - own.shape[1]), value=-1).unbind(1)
        driven, excited = excitation.excited(self._words(), pitch, phase, state[0])
        constants = filters.Tables(*(self.get_buffer(f"table_{name}") for name in filters.Tables._fields))
        with full_float32(latents.device):
            spectra = latents.float() @ self.components + self.mean
            by = filters.filters(torch, constants, spectra, driven.periodicity, driven.angles, decoded.float())
            audio, waiting = filters.filtered(torch, constants, driven.windows, by, state[1])
        return audio, (excited, waiting)

"""Vocoder tokens: `telucodec.vocoder` with the weights of a model."""

import numpy as np

from telucodec.tokens.excitation import Excitation
from telucodec.tokens.walk import Walk
from telucodec.vocoder.analysis import SpeechAnalysis, silence
from telucodec.vocoder.codes import VocoderCodes
from telucodec.vocoder.filters import Tables, filtered, filters, tables
from telucodec.vocoder.frames import STEP, product


class VocoderAnalysis:
    """One recording's way to codes of pitch and phase, and to latents.

    Args:
        mean, components: [FEATURES] and [latent_dim, FEATURES]; latents are the components of the levels less their mean.
    """

    def __init__(self, codes: VocoderCodes, mean: np.ndarray, components: np.ndarray):
        self._analysis, self._mean, self._components = SpeechAnalysis(codes.pitch, codes.phase), mean, components
        self.absent = (silence() - mean) @ components.T  # [latent_dim], the latents of a frame without any code

    def push(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Audio [frames * HOP] to codes [2, frames] and latents [frames, latent_dim]."""
        codes, levels = self._analysis.push(audio.astype(np.float64))
        return codes, product(levels - self._mean, self._components.T)


class SpeechSynthesis:
    """One recording's way from codes of pitch and phase and the filters of a network to speech."""

    def __init__(self, codes: VocoderCodes):
        self._excitation = Excitation(codes.pitch, codes.phase)
        self._tables = Tables(*(table.astype(np.float32) for table in tables()))
        self._waiting = np.zeros((3, STEP), np.float32)

    def push(self, own: np.ndarray, spectra: np.ndarray, corrections: np.ndarray) -> np.ndarray:
        """Frames to audio [frames * HOP], float32, a hop behind the frames.

        Args:
            own: codes [2 (pitch, phase), frames], -1 where there is none.
            spectra: [frames, FEATURES], float32.
            corrections: [frames, OUTPUTS], float32.
        """
        windows, periodicity, angles = (part.astype(np.float32) for part in self._excitation.push(*own))
        by = filters(np, self._tables, spectra, periodicity, angles, corrections)
        audio, self._waiting = filtered(np, self._tables, windows, by, self._waiting)
        return audio


class VocoderDecoder:
    """One recording's way back: `walk` leads from the sums of codewords to corrections."""

    def __init__(
        self, walk: Walk, codebooks: np.ndarray, codes: VocoderCodes, mean: np.ndarray, components: np.ndarray
    ):
        self._walk, self._codebooks, self._codes = walk, codebooks, codes
        self._mean, self._components = mean, components
        self._absent = (silence() - mean) @ components.T
        self._synthesis = SpeechSynthesis(codes)

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Codes [frames, N] to audio [frames * HOP], float32, a hop behind the frames."""
        sums, described = known(self._codebooks, codes), self._codes.described
        sums[codes[:, 0] < 0, described:] = self._absent
        (corrections,) = self._walk.push(sums)
        spectra = sums[:, described:] @ self._components + self._mean
        return self._synthesis.push(self._codes.own(codes.T), spectra, corrections)


def known(codebooks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The sums [frames, described + latent_dim] of the codewords of codes [frames, N]."""
    sums = np.zeros((len(codes), codebooks.shape[2]), np.float32)
    for codebook, column in zip(codebooks, codes.T, strict=False):
        sums += codebook[column] * (column >= 0)[:, None]
    return sums

"""The token codec in ONNX Runtime: frames that come one by one or all at once, with the same result."""

import functools
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnxruntime

from telucodec.mdct import mdct_basis
from telucodec.models import Model
from telucodec.tokens.vocoder import VocoderAnalysis, VocoderDecoder, known
from telucodec.tokens.walk import Walk
from telucodec.vocoder.codes import VocoderCodes

if TYPE_CHECKING:
    from telucodec.tokens.entropy import TokenCoder

_Steps = list[onnxruntime.InferenceSession]


class Analysis(Protocol):
    """What is coded of a recording."""

    def push(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Audio [frames * hop] to the codes [places, frames] that are not learned and the latents [frames, latent_dim]."""


class Decoder(Protocol):
    """A recording's way from codes to audio."""

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Codes [frames, N] of any number of codebooks, -1 where there is none, to audio [frames * hop], a hop behind the
        frames: the first hop of a recording lies before its start.
        """


class TokenEngine:
    """Encoder, decoder and prior of one model; each is set up when it is first needed."""

    def __init__(self, model: Model):
        shape = model.shape
        self.sample_rate: int = shape["sample_rate"]
        self.hop: int = shape["hop"]
        self.num_codebooks: int = shape["num_codebooks"]
        self.codebook_size: int = shape["codebook_size"]
        self._vocoder: bool = shape["coding"] == "vocoder"
        self._model = model
        self._search = functools.cache(self._make_search)

    @functools.cached_property
    def coder(self) -> "TokenCoder":
        """Turns codes to bytes and back."""
        from telucodec.tokens.entropy import TokenCoder  # tokens alone need no range coder

        return TokenCoder(self._model, self._codebooks)

    @functools.cached_property
    def _codes(self) -> VocoderCodes:
        return VocoderCodes(self._weight("coding.shapes"), self.num_codebooks, self.codebook_size)

    @property
    def _places(self) -> tuple[int, ...]:
        return self._codes.places if self._vocoder else ()

    @functools.cached_property
    def _codebooks(self) -> np.ndarray:
        """[num_codebooks, codebook_size, described + latent_dim], float32; zero where another kind of codebook codes."""
        learned = self._weight("quantizer.codebooks")
        if not self._vocoder:
            return learned
        described, latent_dim = self._codes.described, learned.shape[2]
        codebooks = np.zeros((self.num_codebooks, self.codebook_size, described + latent_dim), np.float32)
        codebooks[list(self._places), :, :described] = self._codes.descriptions
        rest = [number for number in range(self.num_codebooks) if number not in self._places]
        codebooks[rest, :, described:] = learned
        return codebooks

    def _weight(self, name: str) -> np.ndarray:
        return self._model.weights[name].astype(np.float32)

    @property
    def _levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean [FEATURES] and principal components [latent_dim, FEATURES] of the levels."""
        return self._weight("coding.mean"), self._weight("coding.components")

    @functools.cached_property
    def _encoder(self) -> onnxruntime.InferenceSession:
        return self._session("encoder")

    @functools.cached_property
    def _decoder(self) -> onnxruntime.InferenceSession:
        return self._session("decoder")

    def _session(self, graph: str) -> onnxruntime.InferenceSession:
        basis = {} if self._vocoder else {"mdct.basis": mdct_basis(self.hop).astype(np.float32)}
        return self._model.session(graph, {**self._model.weights, **basis})

    def _make_search(self, codebook: int) -> onnxruntime.InferenceSession:
        weights = {"codebook": self._model.weights["quantizer.codebooks"][codebook]}
        return self._model.session("search" if codebook else "search_first", weights)

    def encoder(self, num_codebooks: int) -> "TokenEncoder":
        """A recording's way to codes of so many codebooks, from its start."""
        places = [place for place in self._places if place < num_codebooks]
        steps = [self._search(codebook) for codebook in range(num_codebooks - len(places))]
        if not self._vocoder:
            absent = np.zeros(self._codebooks.shape[2], np.float32)
            return TokenEncoder(_Transform(Walk(self._encoder, "audio", "latents")), absent, places, steps)
        analysis = VocoderAnalysis(self._codes, *self._levels)
        return TokenEncoder(analysis, analysis.absent, places, steps)

    def decoder(self) -> Decoder:
        """A recording's way back to audio, from its start."""
        if not self._vocoder:
            return _TransformDecoder(Walk(self._decoder, "known", "audio"), self._codebooks)
        return VocoderDecoder(Walk(self._decoder, "known", "corrections"), self._codebooks, self._codes, *self._levels)


class TokenEncoder:
    """Audio to codes: those of the residual codebooks by a beam search.

    Of every frame the best partial sums are kept from codebook to codebook. The codes of `n` codebooks are in general not the
    first `n` of the codes of more codebooks. Source: beam search over the stages, arXiv 2509.19186.
    """

    def __init__(self, analysis: Analysis, absent: np.ndarray, places: list[int], steps: _Steps):
        """`absent` [latent_dim] is what is decoded without any code; `places` are the codebooks that are not searched."""
        self._analysis, self._absent, self._places, self._steps = analysis, absent, places, steps

    def push(self, audio: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Audio [frames * hop], float32, to the codes and their errors.

        Returns:
            For N = 1, 2, ... codebooks the codes [frames, N], int64; and the squared error of the latents with 0, 1, ...
            codebooks [frames, num_codebooks + 1], float32.
        """
        own, latents = self._analysis.push(audio)
        residuals = latents[:, None]
        history = np.zeros((len(latents), 1, 0), np.int64)
        error = np.square(latents).sum(1)
        errors, codes = [np.square(latents - self._absent).sum(1)], []
        steps = iter(self._steps)
        for number in range(len(self._places) + len(self._steps)):
            if number not in self._places:
                residuals, parent, index, error = next(steps).run(
                    ["next_residuals", "parent", "index", "error"], {"residuals": residuals}
                )
                kept = np.take_along_axis(history, parent[..., None], 1)
                history = np.concatenate([kept, index[..., None]], axis=2)
            errors.append(error)
            codes.append(self._merged(own, history[:, 0], number + 1))
        return codes, np.stack(errors, axis=1)

    def _merged(self, own: np.ndarray, learned: np.ndarray, count: int) -> np.ndarray:
        """The codes [frames, count] of the first so many codebooks."""
        merged = np.empty((len(learned), count), np.int64)
        places = [place for place in self._places if place < count]
        merged[:, places] = own[: len(places)].T
        merged[:, [number for number in range(count) if number not in places]] = learned
        return merged


class _Transform:
    def __init__(self, walk: Walk):
        self._walk = walk

    def push(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (latents,) = self._walk.push(audio)
        return np.zeros((0, len(latents)), np.int64), latents


class _TransformDecoder:
    def __init__(self, walk: Walk, codebooks: np.ndarray):
        self._walk, self._codebooks = walk, codebooks

    def push(self, codes: np.ndarray) -> np.ndarray:
        return self._walk.push(known(self._codebooks, codes))[0]

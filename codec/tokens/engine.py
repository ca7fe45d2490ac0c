"""The token codec in ONNX Runtime: frames that come one by one or all at once, with the same result."""

import functools

import numpy as np
import onnxruntime

from telucodec.mdct import mdct_basis
from telucodec.models import ModelFolder
from telucodec.tokens.energies import EnergySearch
from telucodec.tokens.entropy import TokenCoder

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}

_Steps = list[onnxruntime.InferenceSession]


class TokenEngine:
    """Encoder, decoder and prior of one model; each is set up when it is first needed."""

    def __init__(self, model: ModelFolder):
        shape = model.shape
        self.sample_rate: int = shape["sample_rate"]
        self.hop: int = shape["hop"]
        self.num_codebooks: int = shape["num_codebooks"]
        self.codebook_size: int = shape["codebook_size"]
        self._bands: int = shape["bands"]  # whose energies the first codebook codes, or 0
        self._model = model
        self._search = functools.cache(self._make_search)

    @functools.cached_property
    def coder(self) -> TokenCoder:
        """Turns codes to bytes and back."""
        return TokenCoder(self._model, self._codebooks)

    @functools.cached_property
    def _codebooks(self) -> np.ndarray:
        """[num_codebooks, codebook_size, bands + latent_dim], float32; zero where another kind of codebook codes."""
        low = np.pad(self._weight("quantizer.codebooks"), ((0, 0), (0, 0), (self._bands, 0)))
        if not self._bands:
            return low
        energies = self._weight("energy_quantizer.codebook")
        first = np.pad(energies, ((0, 0), (0, low.shape[2] - self._bands)))
        return np.concatenate([first[None], low])

    def _weight(self, name: str) -> np.ndarray:
        return self._model.weights[name].astype(np.float32)

    @functools.cached_property
    def _encoder(self) -> onnxruntime.InferenceSession:
        return self._session("encoder")

    @functools.cached_property
    def _decoder(self) -> onnxruntime.InferenceSession:
        return self._session("decoder")

    def _session(self, graph: str) -> onnxruntime.InferenceSession:
        basis = mdct_basis(self.hop).astype(np.float32)
        return self._model.session(graph, {**self._model.weights, "mdct.basis": basis})

    def _make_search(self, codebook: int) -> onnxruntime.InferenceSession:
        weights = {"codebook": self._model.weights["quantizer.codebooks"][codebook]}
        return self._model.session("search" if codebook else "search_first", weights)

    def encoder(self, num_codebooks: int) -> "TokenEncoder":
        """A recording's way to codes of so many codebooks, from its start."""
        energies = None
        if self._bands:
            energies = EnergySearch(self._weight("energy_quantizer.codebook"), self._weight("energy_quantizer.taps"))
        steps = [self._search(codebook) for codebook in range(num_codebooks - (1 if energies else 0))]
        return TokenEncoder(self._encoder, energies, steps)

    def decoder(self) -> "TokenDecoder":
        """A recording's way back to audio, from its start."""
        return TokenDecoder(self._decoder, self._codebooks)


class _Walk:
    """One recording's way through a graph: the state that each call leaves goes into the next."""

    def __init__(self, session: onnxruntime.InferenceSession, given: str, *wanted: str):
        self._session, self._given, self._count = session, given, len(wanted)
        states = [value for value in session.get_inputs() if value.name != given]
        self._state = {value.name: np.zeros([1, *value.shape[1:]], DTYPES[value.type]) for value in states}
        self._wanted = [*wanted, *(f"next_{name}" for name in self._state)]

    def push(self, values: np.ndarray) -> list[np.ndarray]:
        """The outputs [...] for the next values [...], without a dimension for the batch."""
        outputs = self._session.run(self._wanted, {self._given: values[None], **self._state})
        self._state = dict(zip(self._state, outputs[self._count :], strict=True))
        return [output[0] for output in outputs[: self._count]]


class TokenEncoder:
    """Audio to codes: those of the energies frame by frame, the others by a beam search over the codebooks.

    Of every frame the best partial sums are kept from codebook to codebook. The codes of `n` codebooks are in general not the
    first `n` of the codes of more codebooks. Source: beam search over the stages, arXiv 2509.19186.
    """

    def __init__(self, encoder: onnxruntime.InferenceSession, energies: EnergySearch | None, steps: _Steps):
        self._walk = _Walk(encoder, "audio", "latents", *(["energies"] if energies else []))
        self._energies, self._steps = energies, steps

    def push(self, audio: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Audio [frames * hop], float32, to the codes and their errors.

        Returns:
            For N = 1, 2, ... codebooks the codes [frames, N], int64; and the squared error of energies and latents with 0, 1,
            ... codebooks [frames, num_codebooks + 1], float32.
        """
        latents, *energies = self._walk.push(audio)
        residuals = latents[:, None]
        history = np.zeros((len(latents), 1, 0), np.int64)
        errors, codes = [np.square(latents).sum(1)], []
        missed = np.zeros(len(latents), np.float32)
        if self._energies is not None:
            first, size, missed = self._energies.push(energies[0])
            history = first[:, None, None]
            codes.append(first[:, None])
            errors = [errors[0] + size, errors[0] + missed]
        for step in self._steps:
            residuals, parent, index, error = step.run(
                ["next_residuals", "parent", "index", "error"], {"residuals": residuals}
            )
            kept = np.take_along_axis(history, parent[..., None], 1)
            history = np.concatenate([kept, index[..., None]], axis=2)
            codes.append(history[:, 0])
            errors.append(error + missed)
        return codes, np.stack(errors, axis=1)


class TokenDecoder:
    """Codes to audio."""

    def __init__(self, decoder: onnxruntime.InferenceSession, codebooks: np.ndarray):
        self._walk = _Walk(decoder, "latents", "audio")
        self._codebooks = codebooks

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Codes [frames, N] of any number of codebooks, -1 where there is none, to audio [frames * hop], a hop behind the
        frames: the first hop of a recording lies before its start.
        """
        latents = np.zeros((len(codes), self._codebooks.shape[2]), np.float32)
        for codebook, column in zip(self._codebooks, codes.T, strict=False):
            latents += codebook[column] * (column >= 0)[:, None]
        return self._walk.push(latents)[0]

"""The token codec in ONNX Runtime: frames that come one by one or all at once, with the same result."""

import functools

import numpy as np
import onnxruntime
import torch

from codec.onnx_graph import session
from codec.tokens.entropy import TokenCoder
from codec.tokens.graph import decoder_graph, encoder_graph
from codec.tokens.model import TokenCodec

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class TokenEngine:
    """Encoder and decoder in ONNX Runtime, with as many threads as PyTorch has when it is made."""

    def __init__(self, codec: TokenCodec):
        self.hop, self.levels, self.size = codec.config.hop, codec.config.quantizer.levels, codec.config.quantizer.size
        self.coder = TokenCoder(codec.prior, codec.quantizer.codebooks)
        # A search through fewer codebooks takes less time, so there is a graph for each number of them.
        threads = torch.get_num_threads()
        self._encoder = functools.cache(lambda levels: session(encoder_graph(codec, levels), threads))
        self._decoder = session(decoder_graph(codec), threads)

    def encoder(self, levels: int) -> "TokenWalk":
        """Audio [frames * hop] to codes [frames, levels], from a recording's start."""
        return TokenWalk(self._encoder(levels), "audio", [f"codes_{levels}"])

    def chooser(self, levels: int) -> "TokenWalk":
        """Audio [frames * hop] to errors [frames, levels + 1] and codes [frames, N] with N = 1, 2, ... levels."""
        wanted = ["errors", *(f"codes_{count}" for count in range(1, levels + 1))]
        return TokenWalk(self._encoder(levels), "audio", wanted)

    def decoder(self) -> "TokenWalk":
        """Codes [frames, levels], -1 where there is none, to audio [frames * hop], from a recording's start, a hop behind."""
        return TokenWalk(self._decoder, "codes", ["audio"])


class TokenWalk:
    """One recording's way through an encoder or a decoder, remembering what the next frames need."""

    def __init__(self, session: onnxruntime.InferenceSession, given: str, wanted: list[str]):
        self._session, self._given = session, given
        remembered = [value for value in session.get_inputs() if value.name != given]
        self._state = {value.name: np.zeros([1, *value.shape[1:]], DTYPES[value.type]) for value in remembered}
        self._wanted = [*wanted, *(f"next_{name}" for name in self._state)]

    def push(self, values: np.ndarray) -> list[np.ndarray]:
        """What the next frames give, each of the wanted things."""
        found = self._session.run(self._wanted, {self._given: values[None], **self._state})
        wanted = len(found) - len(self._state)
        self._state = dict(zip(self._state, found[wanted:], strict=True))
        return [value[0] for value in found[:wanted]]

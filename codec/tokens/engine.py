"""The token codec in ONNX Runtime: frames that come one by one or all at once, with the same result."""

import numpy as np
import onnxruntime

from codec.onnx_graph import session
from codec.tokens.graph import decoder_graph, encoder_graph
from codec.tokens.model import TokenCodec


class TokenEngine:
    """Encoder and decoder in ONNX Runtime, with as many threads as PyTorch has now."""

    def __init__(self, codec: TokenCodec):
        self.hop, self.levels, self.size = codec.config.hop, codec.config.quantizer.levels, codec.config.quantizer.size
        self._encoder, self._decoder = session(encoder_graph(codec)), session(decoder_graph(codec))

    def encoder(self, levels: int) -> "TokenWalk":
        """Audio [frames * hop] to codes [frames, levels], from a recording's start."""
        return TokenWalk(self._encoder, "audio", f"codes_{levels}")

    def decoder(self) -> "TokenWalk":
        """Codes [frames, levels] to audio [frames * hop], from a recording's start, a hop behind."""
        return TokenWalk(self._decoder, "codes", "audio")


class TokenWalk:
    """One recording's way through an encoder or a decoder, remembering what the next frames need."""

    def __init__(self, session: onnxruntime.InferenceSession, given: str, wanted: str):
        self._session, self._given = session, given
        shapes = {value.name: value.shape[1:] for value in session.get_inputs() if value.name != given}
        self._state = {name: np.zeros([1, *shape], np.float32) for name, shape in shapes.items()}
        self._wanted = [wanted, *(f"next_{name}" for name in self._state)]

    def push(self, values: np.ndarray) -> np.ndarray:
        """What the next frames give."""
        found, *state = self._session.run(self._wanted, {self._given: values[None], **self._state})
        self._state = dict(zip(self._state, state, strict=True))
        return found[0]

"""The enhancer of decoded coefficients in ONNX Runtime. How it is trained: `telucodec.networks.enhancer`."""

import numpy as np

from telucodec.models import ModelFolder


class EnhancerEngine:
    """One enhancer, for any number of recordings."""

    def __init__(self, model: ModelFolder):
        self.hop: int = model.shape["hop"]
        self._layers: int = model.shape["layers"]
        self._state = 1, model.shape["kernel"] - 1, model.shape["channels"]
        self._session = model.session("enhancer")

    def start(self) -> list[np.ndarray]:
        """The state before the first frame."""
        return [np.zeros(self._state, np.float32) for _ in range(self._layers)]

    def run(
        self, coefficients: np.ndarray, noise: np.ndarray, steps: np.ndarray, past: list[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Frames [frames, hop] of each kind to enhanced coefficients [frames, hop], float64, and the state after them."""
        parts = {"coefficients": coefficients, "noise": noise, "steps": steps}
        feed = {name: part[None].astype(np.float32) for name, part in parts.items()}
        feed |= {f"past_{number}": state for number, state in enumerate(past)}
        names = ["enhanced", *(f"next_past_{number}" for number in range(self._layers))]
        enhanced, *past = self._session.run(names, feed)
        return enhanced[0].astype(np.float64), past

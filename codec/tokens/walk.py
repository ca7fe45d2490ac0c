"""A recording's way through an ONNX graph whose state is among its inputs and outputs."""

import numpy as np
import onnxruntime

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


class Walk:
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

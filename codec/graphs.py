"""ONNX graphs that take their weights from arrays, in ONNX Runtime."""

from collections.abc import Mapping

import numpy as np
import onnxruntime


def session(graph: bytes, weights: Mapping[str, np.ndarray], threads: int = 1) -> onnxruntime.InferenceSession:
    """A graph ready to run.

    Args:
        graph: a serialised ONNX model; its external initializers are the `weights` by name.
        weights: arrays of the names, types and shapes that the graph declares, and no others.
        threads: processor threads of one operator.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # no slower, and less memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves the other cores to others
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(value, order="C")) for value in weights.values()]
    options.add_external_initializers(list(weights), values)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

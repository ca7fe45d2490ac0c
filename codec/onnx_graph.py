"""ONNX graphs built node by node: small, quick to build at run time, and nothing in them but what was put there."""

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

OPSET = 17

Size = int | str  # of a dimension; a name where it is free


class Graph:
    """A graph in the making: each method adds nodes and returns the name of what they compute."""

    def __init__(self):
        self._nodes, self._inputs, self._outputs, self._constants = [], [], [], []

    def input(self, name: str, *shape: Size, kind: int = TensorProto.FLOAT) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, *shape: Size, kind: int = TensorProto.FLOAT) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def nodes(self, operator: str, *inputs: str, count: int, **attributes) -> list[str]:
        outputs = [f"value_{len(self._nodes)}_{place}" for place in range(count)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def node(self, operator: str, *inputs: str, **attributes) -> str:
        return self.nodes(operator, *inputs, count=1, **attributes)[0]

    def reshaped(self, x: str, *shape: int) -> str:
        """`x` in another shape: 0 keeps a dimension, -1 takes what is left."""
        return self.node("Reshape", x, self.integers(*shape))

    def finish(self, name: str) -> bytes:
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        return model.SerializeToString()


def session(graph: bytes, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A graph ready to run, with so many threads; None: as many as PyTorch has now."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.enable_mem_pattern = False  # no slower, and less memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves the other cores to others
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

"""ONNX graphs built node by node. Weights may stay outside the graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

OPSET = 17

Size = int | str  # of a dimension; a name if it is free


class Graph:
    """An ONNX graph under construction. Methods that add nodes return the name of the value they compute.

    Args:
        weights: arrays by name. `finish` embeds those that the graph uses, or leaves them outside.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]):
        self._weights = weights
        self._nodes: list[NodeProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._constants: list[TensorProto] = []
        self._floats: dict[str, str] = {}  # for each weight in use, the name of its float32 cast, or "" without a cast

    @property
    def weight_names(self) -> list[str]:
        """The names of the weights in the graph."""
        return list(self._floats)

    def input(self, name: str, *shape: Size, dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input of the graph."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, value: str, name: str, *shape: Size, dtype: int = TensorProto.FLOAT) -> None:
        """Declare `value` as an output of the graph."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def raw_weight(self, name: str) -> str:
        """A weight in its stored type."""
        self._floats.setdefault(name, "")
        return name

    def weight(self, name: str) -> str:
        """A weight as float32, whatever its stored type. ONNX Runtime computes the cast once, when it loads the graph."""
        if not self._floats.get(name):
            self._floats[name] = self.node("Cast", name, to=TensorProto.FLOAT)
        return self._floats[name]

    def has_weight(self, name: str) -> bool:
        """Whether there is a weight of this name."""
        return name in self._weights

    def weight_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a weight."""
        return self._weights[name].shape

    def constant(self, value: np.ndarray) -> str:
        """An array inside the graph."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(np.array(values, np.int64))

    def nodes(self, operator: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """Add a node with `count` outputs."""
        outputs = [f"value_{len(self._nodes)}_{place}" for place in range(count)]
        self._nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        return self.nodes(operator, *inputs, count=1, **attributes)[0]

    def reshape(self, x: str, *shape: int) -> str:
        """`x` in another shape: 0 keeps a dimension, -1 infers it."""
        return self.node("Reshape", x, self.integers(*shape))

    def transpose(self, x: str) -> str:
        """The transpose of a matrix."""
        return self.node("Transpose", x, perm=[1, 0])

    def finish(self, name: str, embed: bool = False) -> bytes:
        """The serialised model, with its weights embedded or outside."""
        weights = [
            numpy_helper.from_array(np.asarray(self._weights[weight], order="C"), weight)
            if embed
            else _external(weight, self._weights[weight])
            for weight in self._floats
        ]
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, [*self._constants, *weights])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        return model.SerializeToString()


def _external(name: str, value: np.ndarray) -> TensorProto:
    """A weight outside the graph, which holds only its type and shape."""
    tensor = TensorProto(
        name=name,
        dims=value.shape,
        data_type=helper.np_dtype_to_tensor_dtype(value.dtype),
        data_location=TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value="model.safetensors")
    return tensor

"""Stacks of causal ConvNeXt blocks as ONNX graphs with explicit state."""

import math

import numpy as np
import torch

from telucodec.networks.onnx_graph import Graph

END = np.iinfo(np.int64).max
LAYER_NORM_EPSILON = torch.nn.LayerNorm(1).eps


class StackGraph(Graph):
    """A graph with the layers of `telucodec.networks.tokens.blocks`, on [batch, frames, channels]."""

    def linear(self, layer: str, x: str) -> str:
        """A linear layer by the name of its weights, with a bias if there is one."""
        product = self.node("MatMul", x, self.transpose(self.weight(f"{layer}.weight")))
        return self.node("Add", product, self.weight(f"{layer}.bias")) if self.has_weight(f"{layer}.bias") else product

    def slice(self, x: str, start: int, end: int, axis: int = 1) -> str:
        """A part of an axis."""
        return self.node("Slice", x, self.integers(start), self.integers(end), self.integers(axis))

    def stack(self, name: str, layers: int, x: str) -> str:
        """The output of a `CausalStack`. The states of its blocks become inputs and outputs of the graph."""
        x = self.linear(f"{name}.0", x)
        for number in range(layers):
            x = self._block(f"{name}.{number + 1}", number, x)
        return self.linear(f"{name}.{layers + 1}", x)

    def _block(self, block: str, number: int, x: str) -> str:
        channels, _, kernel = self.weight_shape(f"{block}.depthwise.weight")
        past = self.input(f"past_{number}", "batch", kernel - 1, channels)
        line = self.node("Concat", past, x, axis=1)
        self.output(self.slice(line, 1 - kernel, END), f"next_past_{number}", "batch", kernel - 1, channels)
        taps = self.reshape(self.weight(f"{block}.depthwise.weight"), channels, kernel)
        mixed = self.weight(f"{block}.depthwise.bias")
        for tap in range(kernel):
            end = tap - kernel + 1
            delayed = self.slice(line, tap, end if end < 0 else END)
            weight = self.reshape(self.slice(taps, tap, tap + 1), channels)
            mixed = self.node("Add", mixed, self.node("Mul", delayed, weight))
        scale, shift = self.weight(f"{block}.norm.weight"), self.weight(f"{block}.norm.bias")
        mixed = self.node("LayerNormalization", mixed, scale, shift, axis=-1, epsilon=LAYER_NORM_EPSILON)
        wide = self._gelu(self.linear(f"{block}.expand", mixed))
        change = self.node("Mul", self.linear(f"{block}.reduce", wide), self.weight(f"{block}.scale"))
        return self.node("Add", x, change)

    def _gelu(self, x: str) -> str:
        half = self.node("Mul", x, self.number(0.5))
        error = self.node("Erf", self.node("Mul", x, self.number(1 / math.sqrt(2))))
        return self.node("Mul", half, self.node("Add", error, self.number(1.0)))

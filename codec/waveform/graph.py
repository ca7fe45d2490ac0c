"""The context model as ONNX graphs: one for the trunk and the first pass over frequency, one for each further pass.

Activations travel as the integers they are (in units of 2^-ACTIVATION_BITS, in float32), and each layer's power of two is
folded into its weights, so that between layers there is only rounding and clipping. All sums are exact: the numbers are those of
`codec.waveform.context` to the bit.
"""

import numpy as np
from onnx import TensorProto

from codec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from codec.onnx_graph import Graph
from codec.waveform import entropy
from codec.waveform.context import CONDITIONS, RECENT, RESIDUAL_BITS, RESIDUAL_LIMIT, ContextModel, Head


def trunk_graph(context: ContextModel) -> bytes:
    """The frame to come, from those before it.

    Inputs: recent [batch, RECENT * bins], told [batch, CONDITIONS + 1] (conditions and age), and `past_B_T` [batch, channels] for
    each block B: its input so many dilations ago as T says. Outputs: `now_B`, those inputs for this frame; kind_0 [batch,
    bins of the first pass]; described_1 and described_2 [batch, bins of the pass * features] for the other graphs.
    """
    config, graph = context.config, _ExactGraph()
    recent = graph.input("recent", "batch", RECENT * config.bins)
    told = graph.input("told", "batch", CONDITIONS + 1)
    x = graph.linear(graph.node("Concat", recent, told, axis=1), context.enter, RESIDUAL_BITS)
    x = graph.rounded(x, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)
    to_activation = graph.number(2.0 ** (ACTIVATION_BITS - RESIDUAL_BITS))
    for number, block in enumerate(context.blocks):
        now = graph.rounded(graph.node("Mul", x, to_activation), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        graph.output(now, f"now_{number}", "batch", config.channels)
        weight, bias = graph.scaled(block.delays, ACTIVATION_BITS)
        mixed = graph.constant(bias)
        for tap in range(config.taps):
            lag = config.taps - 1 - tap
            seen = graph.input(f"past_{number}_{lag}", "batch", config.channels) if lag else now
            mixed = graph.node("Add", mixed, graph.node("Mul", seen, graph.constant(weight[:, tap])))
        mixed = graph.rounded(mixed, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        wide = graph.rounded(graph.linear(mixed, block.expand, ACTIVATION_BITS), 0, ACTIVATION_LIMIT)
        x = graph.node("Add", x, graph.linear(wide, block.reduce, RESIDUAL_BITS))
        x = graph.rounded(x, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)
    x = graph.rounded(graph.node("Mul", x, to_activation), 0, ACTIVATION_LIMIT)
    x = graph.rounded(graph.linear(x, context.leave, ACTIVATION_BITS), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    sizes = [count * config.features for count in context.pass_sizes]
    parts = graph.nodes("Split", x, graph.integers(*sizes), count=len(sizes), axis=1)
    for number in range(1, len(sizes)):
        graph.output(parts[number], f"described_{number}", "batch", sizes[number])
    kind = _head(graph, context.heads[0], parts[0], recent, None, context.pass_sizes[0], config)
    graph.output(kind, "kind_0", "batch", context.pass_sizes[0], kind=TensorProto.INT32)
    return graph.finish("context")


def head_graph(context: ContextModel, number: int) -> bytes:
    """Pass `number` > 0: described [batch, bins of the pass * features], recent as before, known [batch, bins of earlier
    passes] to kind [batch, bins of the pass]."""
    config, graph, count = context.config, _ExactGraph(), context.pass_sizes[number]
    described = graph.input("described", "batch", count * config.features)
    recent = graph.input("recent", "batch", RECENT * config.bins)
    known = graph.input("known", "batch", sum(context.pass_sizes[:number]))
    kind = _head(graph, context.heads[number], described, recent, known, count, config)
    graph.output(kind, "kind", "batch", count, kind=TensorProto.INT32)
    return graph.finish("context")


def _head(graph: "_ExactGraph", head: Head, described: str, recent: str, known: str | None, count: int, config) -> str:
    _, bias = graph.scaled(head.described, ACTIVATION_BITS)
    local = graph.convolution(graph.reshaped(recent, 0, RECENT, config.bins), head.recent, bias)
    if known is not None:
        local = graph.node("Add", local, graph.convolution(graph.reshaped(known, 0, 1, -1), head.known))
    local = graph.reshaped(graph.node("Transpose", local, perm=[0, 2, 1]), -1, config.hidden)
    hidden = graph.linear(graph.reshaped(described, -1, config.features), head.described, ACTIVATION_BITS, local)
    hidden = graph.rounded(hidden, 0, ACTIVATION_LIMIT)
    hidden = graph.rounded(graph.linear(hidden, head.middle, ACTIVATION_BITS), 0, ACTIVATION_LIMIT)
    # What entropy.kinds does with the network's outputs, its factors and offsets folded into the last layer.
    weight, bias = graph.scaled(head.last, 0)
    factors = np.array([2.0 ** (entropy.SCALE_BITS + 1), 2.0**entropy.WIDE_BITS], np.float32)
    offsets = np.array([-(2.0**entropy.SCALE_BITS), 2.0 ** (entropy.WIDE_BITS - 2)], np.float32)
    weight, bias = graph.constant(weight * factors[:, None]), graph.constant((bias * factors + offsets)[:, None])
    outputs = graph.node("Gemm", weight, hidden, bias, transB=1)  # [2, batch * bins]: each row is clipped by itself
    scale, wide = graph.nodes("Split", outputs, count=2, axis=0)
    scale = graph.node("Mul", graph.rounded(scale, entropy.SCALE_LOW, entropy.SCALE_HIGH), graph.number(entropy.WIDES))
    kind = graph.node("Add", scale, graph.rounded(wide, 0, entropy.WIDE_HIGH))
    kind = graph.node("Add", kind, graph.number(-entropy.SCALE_LOW * entropy.WIDES))
    return graph.reshaped(graph.node("Cast", kind, to=TensorProto.INT32), -1, count)


class _ExactGraph(Graph):
    """With the layers of `codec.exact`."""

    def scaled(self, layer, bits: int) -> tuple[np.ndarray, np.ndarray]:
        """A layer's weight and bias such that integers in give integers (and what rounding takes) in units of 2^-bits."""
        weight, bias = (part.numpy().astype(np.float32) for part in layer.integers())
        factor = np.float32(2.0 ** (bits - layer.bias_bits))
        return weight * factor, bias * factor

    def linear(self, x: str, layer, bits: int, added: str | None = None) -> str:
        """A layer's products, with its bias or, instead, with what is to be `added`."""
        integers = layer.integers()[0].numpy().T  # of 8 bits until ONNX Runtime takes them in: an eighth of the memory
        weight = self.node("Cast", self.constant(integers), to=TensorProto.FLOAT)
        weight = self.node("Mul", weight, self.number(2.0 ** (bits - layer.bias_bits)))
        return self.node("Gemm", x, weight, added or self.constant(self.scaled(layer, bits)[1]))

    def convolution(self, x: str, layer, added: np.ndarray | float = 0.0) -> str:
        weight, bias = self.scaled(layer, ACTIVATION_BITS)
        bias = bias + added
        before, after = layer.padding
        return self.node(
            "Conv", x, self.constant(weight), self.constant(bias), pads=[before, after], strides=[layer.stride]
        )

    def rounded(self, x: str, low: int, high: int) -> str:
        return self.node("Clip", self.node("Round", x), self.number(low), self.number(high))

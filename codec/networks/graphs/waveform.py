"""The context model as ONNX graphs: one for the trunk and the first pass over frequency, one for each further pass.

Activations are passed as integers, in units of 2^-ACTIVATION_BITS and in float32. Each layer's power of two is folded into
its weights, so that between layers values are only rounded and clipped. All sums are exact: the results equal those of
`telucodec.networks.waveform.context` to the bit.
"""

import numpy as np
from onnx import TensorProto

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from telucodec.networks.exact import ExactConv, exact_layers, stored_state
from telucodec.networks.onnx_graph import Graph
from telucodec.networks.waveform.context import RESIDUAL_BITS, RESIDUAL_LIMIT
from telucodec.networks.waveform.model import WaveformCodec
from telucodec.waveform.grids import (
    CONDITIONS,
    LEVEL_PASSES,
    PASSES,
    RECENT,
    SCALE_BITS,
    SCALE_HIGH,
    SCALE_LOW,
    WIDE_BITS,
    WIDE_HIGH,
    WIDES,
)


def runtime_graphs(codec: WaveformCodec) -> dict[str, tuple[bytes, list[str]]]:
    """The graphs that `telucodec.waveform.engine` runs, each with the names of its weights.

    trunk: describes the coming frame and computes the first pass. Inputs: recent [batch, RECENT * bins], the frames before;
        expected [batch, bins], the envelope of the frame over its steps; conditions [batch, CONDITIONS + 1], with the age;
        past_B_T [batch, channels], the input of block B, T dilations ago. Outputs: now_B, the input of block B for this frame;
        kind_0 [batch, bins of the first pass]; features_1 and features_2 [batch, bins of the pass * features], for the other
        graphs.
    head_1, head_2: a further pass. Inputs: features, from the trunk; recent and expected, as before; known [batch, bins of
        earlier passes]. Output: kind [batch, bins of the pass].
    levels_0, levels_1: a pass over the levels of bands. Input: context [count, inputs], from `telucodec.waveform.levels`. Output:
        logarithms [count, bands of the pass * LEVELS], int32.
    """
    return (
        {"trunk": _trunk(codec)}
        | {f"head_{number}": _head(codec, number) for number in range(1, len(PASSES))}
        | {f"levels_{number}": _levels(codec, number) for number in range(len(LEVEL_PASSES))}
    )


def _trunk(codec: WaveformCodec) -> tuple[bytes, list[str]]:
    context = codec.context
    config, graph = context.config, _ExactGraph(codec)
    recent = graph.input("recent", "batch", RECENT * config.bins)
    expected = graph.input("expected", "batch", config.bins)
    conditions = graph.input("conditions", "batch", CONDITIONS + 1)
    bands = graph.node("Gather", expected, graph.integers(*context.centres.tolist()), axis=1)
    x = graph.linear(graph.node("Concat", recent, bands, conditions, axis=1), "context.enter", RESIDUAL_BITS)
    x = graph.round(x, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)
    to_activation = graph.number(2.0 ** (ACTIVATION_BITS - RESIDUAL_BITS))
    for number in range(len(context.blocks)):
        now = graph.round(graph.node("Mul", x, to_activation), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        graph.output(now, f"now_{number}", "batch", config.channels)
        mixed = graph.round(graph.delays(now, number, config.taps), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        wide = graph.linear(mixed, f"context.blocks.{number}.expand", ACTIVATION_BITS)
        wide = graph.round(wide, 0, ACTIVATION_LIMIT)
        x = graph.node("Add", x, graph.linear(wide, f"context.blocks.{number}.reduce", RESIDUAL_BITS))
        x = graph.round(x, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)
    x = graph.round(graph.node("Mul", x, to_activation), 0, ACTIVATION_LIMIT)
    x = graph.round(graph.linear(x, "context.leave", ACTIVATION_BITS), -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
    sizes = [count * config.features for count in context.pass_sizes]
    features = graph.nodes("Split", x, graph.integers(*sizes), count=len(sizes), axis=1)
    for number in range(1, len(sizes)):
        graph.output(features[number], f"features_{number}", "batch", sizes[number])
    kind = graph.head(0, features[0], recent, expected, None)
    graph.output(kind, "kind_0", "batch", context.pass_sizes[0], dtype=TensorProto.INT32)
    return graph.finish("trunk"), graph.weight_names


def _head(codec: WaveformCodec, number: int) -> tuple[bytes, list[str]]:
    config, graph, sizes = codec.context.config, _ExactGraph(codec), codec.context.pass_sizes
    features = graph.input("features", "batch", sizes[number] * config.features)
    recent = graph.input("recent", "batch", RECENT * config.bins)
    expected = graph.input("expected", "batch", config.bins)
    known = graph.input("known", "batch", sum(sizes[:number]))
    kind = graph.head(number, features, recent, expected, known)
    graph.output(kind, "kind", "batch", sizes[number], dtype=TensorProto.INT32)
    return graph.finish("head"), graph.weight_names


def _levels(codec: WaveformCodec, number: int) -> tuple[bytes, list[str]]:
    graph, layers = _ExactGraph(codec), dict(exact_layers(codec.levels))
    first, last = layers[f"describe.{number}"], layers[f"tell.{number}"]
    x = graph.input("context", "count", first.weight.shape[1])
    for layer in ("describe", "middle"):
        x = graph.round(graph.linear(x, f"levels.{layer}.{number}", ACTIVATION_BITS), 0, ACTIVATION_LIMIT)
    logarithms = graph.node("Cast", graph.linear(x, f"levels.tell.{number}", last.bias_bits), to=TensorProto.INT32)
    graph.output(logarithms, "logarithms", "count", len(last.weight), dtype=TensorProto.INT32)
    return graph.finish("levels"), graph.weight_names


class _ExactGraph(Graph):
    """A graph with the layers of `telucodec.networks.exact`, which are named as in `WaveformCodec`."""

    def __init__(self, codec: WaveformCodec):
        super().__init__({name: value.numpy() for name, value in stored_state(codec).items()})
        self._context = codec.context
        self._layers = dict(exact_layers(codec))

    def parameters(self, name: str, bits: int) -> tuple[str, str]:
        """Weight and bias of a layer, scaled so that integer inputs give sums in units of 2^-bits."""
        factor = self.number(2.0 ** (bits - self._layers[name].bias_bits))
        weight, bias = (self.weight(f"{name}.{part}") for part in ("weight", "bias"))
        return self.node("Mul", weight, factor), self.node("Mul", bias, factor)

    def linear(self, x: str, name: str, bits: int, addend: str | None = None) -> str:
        """The products of a linear layer, plus its bias or, instead, `addend`."""
        weight, bias = self.parameters(name, bits)
        return self.node("Gemm", x, self.transpose(weight), addend or bias)

    def delays(self, now: str, block: int, taps: int) -> str:
        """The weighted sum of a block's present and past inputs."""
        weight, mixed = self.parameters(f"context.blocks.{block}.delays", ACTIVATION_BITS)
        columns = self.nodes("Split", self.transpose(weight), count=taps, axis=0)
        for tap, column in enumerate(columns):
            lag = taps - 1 - tap
            value = self.input(f"past_{block}_{lag}", "batch", self._context.config.channels) if lag else now
            mixed = self.node("Add", mixed, self.node("Mul", value, self.reshape(column, -1)))
        return mixed

    def convolution(self, x: str, name: str, addend: str | None = None) -> str:
        """A convolution; `addend` is added to its bias."""
        layer = self._layers[name]
        assert isinstance(layer, ExactConv)
        weight, bias = self.parameters(name, ACTIVATION_BITS)
        bias = bias if addend is None else self.node("Add", bias, addend)
        before, after = layer.padding
        return self.node("Conv", x, weight, bias, pads=[before, after], strides=[layer.stride])

    def head(self, number: int, features: str, recent: str, expected: str, known: str | None) -> str:
        """The kinds of distribution [batch, bins of the pass], int32, of pass `number`."""
        config, name = self._context.config, f"context.heads.{number}"
        _, bias = self.parameters(f"{name}.described", ACTIVATION_BITS)
        local = self.convolution(self.reshape(recent, 0, RECENT, config.bins), f"{name}.recent", bias)
        envelope = self.convolution(self.reshape(expected, 0, 1, config.bins), f"{name}.expected")
        local = self.node("Add", local, envelope)
        if known is not None:
            local = self.node("Add", local, self.convolution(self.reshape(known, 0, 1, -1), f"{name}.known"))
        local = self.reshape(self.node("Transpose", local, perm=[0, 2, 1]), -1, config.hidden)
        hidden = self.linear(self.reshape(features, -1, config.features), f"{name}.described", ACTIVATION_BITS, local)
        hidden = self.round(hidden, 0, ACTIVATION_LIMIT)
        hidden = self.round(self.linear(hidden, f"{name}.middle", ACTIVATION_BITS), 0, ACTIVATION_LIMIT)
        # This is `entropy.kinds`, with its factors and offsets folded into the last layer.
        weight, bias = self.parameters(f"{name}.last", 0)
        factors = self.constant(np.array([[2.0 ** (SCALE_BITS + 1)], [2.0**WIDE_BITS]], np.float32))
        offsets = self.constant(np.array([[-(2.0**SCALE_BITS)], [2.0 ** (WIDE_BITS - 2)]], np.float32))
        bias = self.node("Add", self.node("Mul", self.reshape(bias, 2, 1), factors), offsets)
        outputs = self.node("Gemm", self.node("Mul", weight, factors), hidden, bias, transB=1)  # [2, batch * bins]
        scale, wide = self.nodes("Split", outputs, count=2, axis=0)  # the two rows have different limits
        scale = self.node("Mul", self.round(scale, SCALE_LOW, SCALE_HIGH), self.number(WIDES))
        kind = self.node("Add", scale, self.round(wide, 0, WIDE_HIGH))
        kind = self.node("Add", kind, self.number(-SCALE_LOW * WIDES))
        return self.reshape(self.node("Cast", kind, to=TensorProto.INT32), -1, self._context.pass_sizes[number])

    def round(self, x: str, low: int, high: int) -> str:
        """`x` rounded to integers and clipped to [low, high]."""
        return self.node("Clip", self.node("Round", x), self.number(low), self.number(high))

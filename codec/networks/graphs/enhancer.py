"""The enhancer as an ONNX graph with explicit state, as the graphs of the token codec have it."""

import numpy as np

from telucodec.networks.enhancer.model import Enhancer
from telucodec.networks.graphs.stack import StackGraph
from telucodec.waveform.grids import ADDED, CODED_OCTAVES, FLOOR_OCTAVES, NOISE_OCTAVES, OCTAVE_INPUT, OUTPUTS


def runtime_graphs(enhancer: Enhancer) -> dict[str, tuple[bytes, list[str]]]:
    """The graph that `telucodec.waveform.enhancer` runs, with the names of its weights.

    enhancer: coefficients, noise and steps [batch, frames, hop] to enhanced coefficients [batch, frames, hop]; past_B and
        next_past_B [batch, kernel - 1, channels] are the state of block B.
    """
    hop = enhancer.config.hop
    graph = _EnhancerGraph({name: value.numpy() for name, value in enhancer.stored_weights().items()})
    names = "coefficients", "noise", "steps"
    coefficients, noise, steps = (graph.input(name, "batch", "frames", hop) for name in names)
    inputs = graph.node("Concat", *(graph.octaves(part) for part in (coefficients, noise, steps)), axis=2)
    outputs = graph.stack("network", enhancer.config.layers, inputs)
    coded, filled, added = graph.nodes("Split", outputs, graph.integers(*[hop] * OUTPUTS), count=OUTPUTS, axis=2)
    scaled = graph.node("Mul", coefficients, graph.gain(coded, CODED_OCTAVES))
    most = graph.node("Mul", steps, graph.number(ADDED))
    change = graph.node("Mul", most, graph.node("Tanh", added))
    filling = graph.node("Add", graph.node("Mul", noise, graph.gain(filled, NOISE_OCTAVES)), change)
    zero = graph.node("Equal", coefficients, graph.number(0.0))
    graph.output(graph.node("Where", zero, filling, scaled), "enhanced", "batch", "frames", hop)
    return {"enhancer": (graph.finish("enhancer"), graph.weight_names)}


class _EnhancerGraph(StackGraph):
    def octaves(self, x: str) -> str:
        """Magnitudes on a logarithmic scale."""
        above = self.node("Log", self.node("Add", self.node("Abs", x), self.number(2.0**FLOOR_OCTAVES)))
        return self.node("Add", self.node("Mul", above, self.number(OCTAVE_INPUT / np.log(2))), self.number(2.0))

    def gain(self, x: str, octaves: float) -> str:
        """A factor of at most so many octaves."""
        return self.node("Exp", self.node("Mul", self.node("Tanh", x), self.number(octaves * np.log(2))))

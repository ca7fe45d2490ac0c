"""The quantiser of energies as parts of a graph."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from telucodec.networks.onnx_graph import Graph
from telucodec.networks.tokens.energies import TAPS, EnergyQuantizer

END = np.iinfo(np.int64).max


def decode_energies(graph: Graph, quantizer: EnergyQuantizer, words: str) -> str:
    """Energies [batch, frames, bands] of codewords [batch, frames, bands].

    Adds the input `energies` [batch, TAPS, bands], the codewords of the frames before, the last one first, and the output
    `next_energies`.
    """
    bands = quantizer.codebook.shape[1]
    past = graph.input("energies", "batch", TAPS, bands)
    energies, delayed = words, words
    taps = graph.weight("energy_quantizer.taps")
    for tap in range(TAPS):
        before = graph.node("Slice", past, *_bounds(graph, tap, tap + 1))
        # The frame `tap + 1` ahead of the first lies at place `tap`.
        line = graph.node("Slice", graph.node("Concat", before, delayed, axis=1), *_bounds(graph, 0, -1))
        delayed = line
        weight = graph.reshape(graph.node("Slice", taps, *_bounds(graph, tap, tap + 1, axis=0)), bands)
        energies = graph.node("Add", energies, graph.node("Mul", delayed, weight))
    everything = graph.node("Concat", _reversed(graph, past), words, axis=1)
    last = graph.node("Slice", everything, *_bounds(graph, -TAPS, END))
    graph.output(_reversed(graph, last), "next_energies", "batch", TAPS, bands)
    return energies


def search_energies(graph: Graph, quantizer: EnergyQuantizer, energies: str) -> tuple[str, str, str]:
    """Codes of energies [batch, frames, bands], and the squared errors without and with them, all [batch, frames, 1].

    It adds input and output as `decode_energies` does. The search goes from frame to frame: each prediction needs the
    codewords before.
    """
    codebook, taps = (part.cpu().numpy().astype(np.float32) for part in (quantizer.codebook, quantizer.taps))
    bands = codebook.shape[1]
    past = graph.input("energies", "batch", TAPS, bands)
    node, value = helper.make_node, helper.make_tensor_value_info
    constants = {
        "body_taps": taps,
        "body_codebook": codebook,
        "body_products": -2 * codebook.T,
        "body_norms": np.square(codebook).sum(1),
        "body_one": np.array([1], np.int64),
        "body_zero": np.array([0], np.int64),
        "body_last": np.array([TAPS - 1], np.int64),
    }
    body = helper.make_graph(
        [
            node("Mul", ["before", "body_taps"], ["weighted"]),
            node("ReduceSum", ["weighted", "body_one"], ["predicted"], keepdims=0),
            node("Sub", ["energy", "predicted"], ["target"]),
            node("MatMul", ["target", "body_products"], ["products"]),
            node("Add", ["products", "body_norms"], ["distances"]),
            node("ArgMin", ["distances"], ["code"], axis=1, keepdims=1),
            node("Squeeze", ["code", "body_one"], ["row"]),
            node("Gather", ["body_codebook", "row"], ["word"], axis=0),
            node("Sub", ["target", "word"], ["missed"]),
            node("ReduceSumSquare", ["target"], ["size"], axes=[1], keepdims=1),
            node("ReduceSumSquare", ["missed"], ["error"], axes=[1], keepdims=1),
            node("Unsqueeze", ["word", "body_one"], ["newest"]),
            node("Slice", ["before", "body_zero", "body_last", "body_one"], ["kept"]),
            node("Concat", ["newest", "kept"], ["after"], axis=1),
        ],
        "frame",
        [
            value("before", TensorProto.FLOAT, ["batch", TAPS, bands]),
            value("energy", TensorProto.FLOAT, ["batch", bands]),
        ],
        [
            value("after", TensorProto.FLOAT, ["batch", TAPS, bands]),
            value("code", TensorProto.INT64, ["batch", 1]),
            value("size", TensorProto.FLOAT, ["batch", 1]),
            value("error", TensorProto.FLOAT, ["batch", 1]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    last, codes, sizes, errors = graph.nodes(
        "Scan",
        past,
        energies,
        count=4,
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1, 1, 1],
    )
    graph.output(last, "next_energies", "batch", TAPS, bands)
    return codes, sizes, errors


def _bounds(graph: Graph, start: int, end: int, axis: int = 1) -> list[str]:
    return [graph.integers(start), graph.integers(end), graph.integers(axis)]


def _reversed(graph: Graph, x: str) -> str:
    """`x` [batch, TAPS, bands] with its frames in the opposite order."""
    return graph.node("Gather", x, graph.integers(*reversed(range(TAPS))), axis=1)

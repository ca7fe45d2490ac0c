"""The token codec as two ONNX graphs that go on from frame to frame: what a frame needs of those before it goes in and comes out.

A whole recording at once and one frame at a time are the same computation, and with ONNX Runtime the same numbers to the bit:
each row of a product is summed by itself, however many there are.
"""

import math

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor, nn

from codec.onnx_graph import Graph
from codec.tokens.blocks import CausalStack
from codec.tokens.model import TokenCodec
from codec.tokens.spectrum import COMPRESSED_FLOOR, ENERGY_FLOOR, EXPANDED_FLOOR, NOISE_FRAMES, Spectrum

END = np.iinfo(np.int64).max
GROUP = 32  # candidates of the search that are looked at together


def encoder_graph(codec: TokenCodec, most: int | None = None) -> bytes:
    """Audio to codes of up to `most` codebooks; None: all.

    Inputs: audio [batch, frames * hop], in which each hop completes a frame; overlap [batch, hop], the hop ahead of it; past_B
    [batch, kernel - 1, channels], what block B remembers; at a recording's start these are zeros. Outputs: codes_N [batch,
    frames, N] with N codebooks, for every N up to `most`; errors [batch, frames, most + 1], the squared error of the latents with
    0, 1, ... codebooks; next_overlap and next_past_B for the next call.
    """
    graph, hop = _TokenGraph(), codec.config.hop
    samples = graph.input("audio", "batch", "samples")
    overlap = graph.input("overlap", "batch", hop)
    hops = graph.reshaped(graph.node("Concat", overlap, samples, axis=1), 0, -1, hop)
    earlier, later = graph.cut(hops, 0, -1), graph.cut(hops, 1, END)
    windows = graph.node("Concat", earlier, later, axis=2)
    coefficients = graph.node("MatMul", windows, graph.constant(_array(codec.mdct.basis.t() / codec.level)))
    features = graph.features(codec.spectrum, coefficients)
    graph.output(graph.reshaped(graph.cut(hops, -1, END), 0, hop), "next_overlap", "batch", hop)
    encoded = graph.stack(codec.encoder, features)
    latents = graph.node("Add", graph.linear(codec.analysis, features), encoded)
    found, errors = _search(graph, codec, latents, most or codec.config.quantizer.levels)
    graph.output(errors, "errors", "batch", "frames", len(found) + 1)
    for levels, codes in enumerate(found, 1):
        graph.output(codes, f"codes_{levels}", "batch", "frames", levels, kind=TensorProto.INT64)
    return graph.finish("encoder")


def decoder_graph(codec: TokenCodec) -> bytes:
    """Codes to audio.

    Inputs: codes [batch, frames, levels] with any number of levels, -1 where there is none; overlap [batch, hop], what the frame
    before adds to the next; past_B as in the encoder; with noise bands frame [batch, 1], the number of the next frame. Outputs:
    audio [batch, frames * hop], a hop behind the frames: the first hop of a recording lies before its start; next_overlap,
    next_past_B and next_frame for the next call.
    """
    graph, config = _TokenGraph(), codec.config
    codes = graph.input("codes", "batch", "frames", "levels", kind=TensorProto.INT64)
    overlap = graph.input("overlap", "batch", config.hop)
    codebooks = codec.quantizer.codebooks.flatten(0, 1)
    table = graph.constant(_array(torch.cat([codebooks, torch.zeros(1, config.latent)])))
    levels = graph.node("Squeeze", graph.node("Shape", codes, start=2, end=3))
    zero, one = (graph.constant(np.array(value, np.int64)) for value in (0, 1))
    starts = graph.node("Mul", graph.node("Range", zero, levels, one), graph.integers(config.quantizer.size))
    absent = graph.node("Less", codes, graph.integers(0))
    rows = graph.node("Where", absent, graph.integers(len(codebooks)), graph.node("Add", codes, starts))
    codewords = graph.node("Gather", table, rows, axis=0)
    latents = graph.node("ReduceSum", codewords, graph.integers(2), keepdims=0)
    features = graph.node("Add", graph.linear(codec.synthesis, latents), graph.stack(codec.decoder, latents))
    coefficients = graph.coefficients(codec.spectrum, features)
    windowed = graph.node("MatMul", coefficients, graph.constant(_array(codec.mdct.basis * codec.level * codec.gain)))
    first, second = graph.nodes("Split", windowed, graph.integers(config.hop, config.hop), count=2, axis=2)
    waiting = graph.node("Concat", graph.reshaped(overlap, 0, 1, config.hop), second, axis=1)
    audio = graph.reshaped(graph.node("Add", first, graph.cut(waiting, 0, -1)), 0, -1)
    if config.output_activation == "tanh":
        audio = graph.node("Tanh", audio)
    graph.output(audio, "audio", "batch", "samples")
    graph.output(graph.reshaped(graph.cut(waiting, -1, END), 0, config.hop), "next_overlap", "batch", config.hop)
    return graph.finish("decoder")


def _search(graph: "_TokenGraph", codec: TokenCodec, latents: str, most: int) -> tuple[list[str], str]:
    """The beam search of `codec.tokens.quantizer`: codes [batch, frames, levels] for 1, 2, ... `most` levels, and the errors."""
    settings, width = codec.config.quantizer, codec.config.latent
    residuals = graph.reshaped(latents, 0, -1, 1, width)
    history, found, beam = None, [], 1
    left = [graph.node("ReduceSumSquare", latents, axes=[2], keepdims=1)]
    for codebook in codec.quantizer.codebooks[:most]:
        # |r - c|^2 in one product: (r, |r|^2, 1) by (-2c, 1, |c|^2).
        squares = graph.node("ReduceSumSquare", residuals, axes=[3], keepdims=1)
        lengthened = graph.node("Concat", residuals, squares, axis=3)
        lengthened = graph.node("Pad", lengthened, graph.integers(0, 0, 0, 0, 0, 0, 0, 1), graph.number(1.0))
        against = [-2 * codebook, torch.ones(settings.size, 1), codebook.square().sum(1, keepdim=True)]
        errors = graph.node("MatMul", lengthened, graph.constant(_array(torch.cat(against, 1).t())))
        candidates = beam * settings.size
        beam = min(settings.beam, candidates)
        least, best = graph.least(graph.reshaped(errors, 0, 0, candidates), candidates, beam)
        left.append(graph.cut(least, 0, 1, axis=2))
        parent = graph.node("Div", best, graph.integers(settings.size))
        index = graph.node("Sub", best, graph.node("Mul", parent, graph.integers(settings.size)))
        residuals = graph.node(
            "Sub",
            graph.node("GatherND", residuals, graph.reshaped(parent, 0, 0, beam, 1), batch_dims=2),
            graph.node("Gather", graph.constant(_array(codebook)), index, axis=0),
        )
        index = graph.reshaped(index, 0, 0, beam, 1)
        if history is not None:
            history = graph.node("GatherND", history, graph.reshaped(parent, 0, 0, beam, 1), batch_dims=2)
            index = graph.node("Concat", history, index, axis=3)
        history = index
        found.append(graph.reshaped(graph.cut(history, 0, 1, axis=2), 0, 0, len(found) + 1))
    return found, graph.node("Concat", *left, axis=2)


class _TokenGraph(Graph):
    """With the layers of the token codec, on [batch, frames, channels]."""

    def linear(self, layer: nn.Linear, x: str) -> str:
        product = self.node("MatMul", x, self.constant(_array(layer.weight.t())))
        return product if layer.bias is None else self.node("Add", product, self.constant(_array(layer.bias)))

    def features(self, spectrum: Spectrum, coefficients: str) -> str:
        compressed = self._companded(coefficients, COMPRESSED_FLOOR, spectrum.compand)
        if not spectrum.bands:
            return compressed
        energies = self._energies(spectrum, coefficients)
        loudness = self.node("Sqrt", self.node("Add", energies, self.number(ENERGY_FLOOR)))
        loudness = self._companded(loudness, COMPRESSED_FLOOR, spectrum.compand)
        weighted = self.node("Mul", loudness, self.constant(_array(spectrum.weights)))
        return self.node("Concat", compressed, weighted, axis=2)

    def coefficients(self, spectrum: Spectrum, features: str) -> str:
        """With noise bands, frame [batch, 1] goes in, the number of the first one, and next_frame comes out."""
        coded = self._companded(self.cut(features, 0, spectrum.hop, axis=2), EXPANDED_FLOOR, 1 / spectrum.compand)
        if not spectrum.bands:
            return coded
        loudness = self.node("Relu", self.cut(features, spectrum.hop, END, axis=2))
        loudness = self.node("Mul", loudness, self.constant(_array(1 / spectrum.weights)))
        loudness = self._companded(loudness, EXPANDED_FLOOR, 1 / spectrum.compand)
        energies = self.node("Mul", loudness, loudness)
        missing = self.node("Relu", self.node("Sub", energies, self._energies(spectrum, coded)))
        amplitude = self.node("Sqrt", self.node("Add", missing, self.number(ENERGY_FLOOR)))
        amplitude = self.node("MatMul", amplitude, self.constant(_array(spectrum.bands_of_bins.t())))
        first = self.input("frame", "batch", 1, kind=TensorProto.INT64)
        count = self.node("Squeeze", self.node("Shape", features, start=1, end=2))
        following = self.node("Add", first, count)
        self.output(following, "next_frame", "batch", 1, kind=TensorProto.INT64)
        zero, one = (self.constant(np.array(value, np.int64)) for value in (0, 1))
        numbers = self.node("Add", first, self.node("Range", zero, count, one))
        numbers = self.node("Mod", numbers, self.integers(NOISE_FRAMES))
        noise = self.node("Gather", self.constant(_array(spectrum.noise)), numbers, axis=0)
        return self.node("Add", coded, self.node("Mul", amplitude, noise))

    def _energies(self, spectrum: Spectrum, coefficients: str) -> str:
        squares = self.node("Mul", coefficients, coefficients)
        return self.node("MatMul", squares, self.constant(_array(spectrum.means)))

    def _companded(self, x: str, floor: float, power: float) -> str:
        if power == 1:
            return x
        square = self.node("Add", self.node("Mul", x, x), self.number(floor))
        return self.node("Mul", x, self.node("Pow", square, self.number((power - 1) / 2)))

    def least(self, x: str, count: int, kept: int) -> list[str]:
        """The least `kept` of x [batch, frames, count], least first, and their indices: [batch, frames, kept] each.

        They lie in the `kept` groups with the least minima, which are found three times faster than they themselves. Of equal
        values any may come first.
        """
        size = math.gcd(count, GROUP)
        if size == 1 or count // size <= kept:
            return self._sorted(x, kept)
        groups = self.reshaped(x, 0, 0, count // size, size)
        _, chosen = self._sorted(self.node("ReduceMin", groups, axes=[3], keepdims=0), kept)
        members = self.node("GatherND", groups, self.reshaped(chosen, 0, 0, kept, 1), batch_dims=2)
        least, places = self._sorted(self.reshaped(members, 0, 0, kept * size), kept)
        number = self.node("Div", places, self.integers(size))
        first = self.node(
            "Mul", self.node("Sub", self.node("GatherElements", chosen, number, axis=2), number), self.integers(size)
        )
        return [least, self.node("Add", first, places)]

    def _sorted(self, x: str, kept: int) -> list[str]:
        return self.nodes("TopK", x, self.integers(kept), count=2, axis=2, largest=0, sorted=1)

    def cut(self, x: str, start: int, end: int, axis: int = 1) -> str:
        return self.node("Slice", x, self.integers(start), self.integers(end), self.integers(axis))

    def stack(self, stack: CausalStack, x: str) -> str:
        """Its output; what its blocks remember goes in and comes out of the graph."""
        first, *blocks, last = stack
        x = self.linear(first, x)
        for number, block in enumerate(blocks):
            channels = len(block.scale)
            past = self.input(f"past_{number}", "batch", block.history, channels)
            seen = self.node("Concat", past, x, axis=1)
            self.output(self.cut(seen, -block.history, END), f"next_past_{number}", "batch", block.history, channels)
            mixed = self.constant(_array(block.depthwise.bias))
            for tap in range(block.history + 1):
                end = tap - block.history
                shifted = self.cut(seen, tap, end if end < 0 else END)
                weight = self.constant(_array(block.depthwise.weight[:, 0, tap]))
                mixed = self.node("Add", mixed, self.node("Mul", shifted, weight))
            scale, shift = (self.constant(_array(part)) for part in (block.norm.weight, block.norm.bias))
            mixed = self.node("LayerNormalization", mixed, scale, shift, axis=-1, epsilon=block.norm.eps)
            wide = self._gelu(self.linear(block.expand, mixed))
            x = self.node(
                "Add", x, self.node("Mul", self.linear(block.reduce, wide), self.constant(_array(block.scale)))
            )
        return self.linear(last, x)

    def _gelu(self, x: str) -> str:
        half = self.node("Mul", x, self.number(0.5))
        error = self.node("Erf", self.node("Mul", x, self.number(1 / math.sqrt(2))))
        return self.node("Mul", half, self.node("Add", error, self.number(1.0)))


def _array(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy().astype(np.float32)

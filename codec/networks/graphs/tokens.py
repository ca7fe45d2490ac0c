"""The token codec as ONNX graphs with explicit state: the state that one call returns is an input of the next.

Running a whole recording at once and running it frame by frame are the same computation. With ONNX Runtime they give the
same numbers to the bit, because each row of a product is summed by itself, however many rows there are.

`runtime_graphs` builds four graphs without weights, for this package's runtime. `encoder_graph` and `decoder_graph` build
self-contained graphs for other software.
"""

import math

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from telucodec.networks.exact import exact_layers
from telucodec.networks.graphs.energies import decode_energies, search_energies
from telucodec.networks.graphs.search import SearchStep, search_graph
from telucodec.networks.onnx_graph import Graph
from telucodec.networks.tokens.model import GAINS, TokenCodec
from telucodec.networks.tokens.spectrum import COMPRESSED_FLOOR, ENERGY_FLOOR, EXPANDED_FLOOR, NOISE_FRAMES

END = np.iinfo(np.int64).max
BASIS = "mdct.basis"  # the only weight that is computed instead of stored
LAYER_NORM_EPSILON = torch.nn.LayerNorm(1).eps


def runtime_graphs(codec: TokenCodec) -> dict[str, tuple[bytes, list[str]]]:
    """The graphs that `telucodec.tokens.engine` runs, each with the names of its weights.

    encoder: audio [batch, frames * hop], in which each hop completes a frame, to latents [batch, frames, latent_dim]; with
        noise bands also to their energies [batch, frames, bands].
    search_first, search: one step of the beam search, from residuals [frames, beam, latent_dim] and the weight `codebook`
        [codebook_size, latent_dim] to the residuals of the next step, the `parent` and `index` [frames, beam] of the
        candidates kept, and the least squared error [frames].
    decoder: latents [batch, frames, bands + latent_dim], the codewords of the energies first, to audio
        [batch, frames * hop], which lags the frames by one hop.
    prior: the context [count, 2 * (bands + latent_dim)] of one codebook to the logarithms [count, codebook_size] of the
        probabilities.

    Encoder and decoder have the state inputs and outputs that `encoder_graph` and `decoder_graph` describe.
    """
    latent_dim, bands = codec.config.latent_dim, codec.spectrum.bands
    encoder, decoder = _TokenGraph(codec), _TokenGraph(codec)
    latents, energies = encoder.encoder()
    encoder.output(latents, "latents", "batch", "frames", latent_dim)
    if energies:
        encoder.output(energies, "energies", "batch", "frames", bands)
    decoder.decoder(decoder.input("latents", "batch", "frames", bands + latent_dim))
    beam = min(codec.config.quantizer.beam, codec.config.quantizer.codebook_size)
    return {
        "encoder": (encoder.finish("encoder"), encoder.weight_names),
        "decoder": (decoder.finish("decoder"), decoder.weight_names),
        "search_first": search_graph(codec, 1),
        "search": search_graph(codec, beam),
        "prior": _prior_graph(codec),
    }


def encoder_graph(codec: TokenCodec) -> bytes:
    """Audio to codes, with embedded weights.

    Inputs: audio [batch, frames * hop], in which each hop completes a frame; overlap [batch, hop], the hop before it;
    past_B [batch, kernel - 1, channels], the state of block B; with noise bands also energies [batch, taps, bands], their
    codewords in the frames before, the last one first. At the start of a recording, the state is zero.

    Outputs: codes_N [batch, frames, N] with N codebooks, for every N; errors [batch, frames, num_codebooks + 1], the
    squared error of energies and latents with 0, 1, ... codebooks; next_overlap, next_past_B and next_energies for the
    next call.
    """
    graph = _TokenGraph(codec)
    codes, errors = graph.search(*graph.encoder())
    graph.output(errors, "errors", "batch", "frames", len(codes) + 1)
    for count, value in enumerate(codes, 1):
        graph.output(value, f"codes_{count}", "batch", "frames", count, dtype=TensorProto.INT64)
    return graph.finish("encoder", embed=True)


def decoder_graph(codec: TokenCodec) -> bytes:
    """Codes to audio, with embedded weights.

    Inputs: codes [batch, frames, N] of any number of codebooks, with -1 for no codeword; overlap [batch, hop], the part
    of the previous frame that is added to the next hop; past_B as in the encoder; with noise bands also energies as in the
    encoder, and frame [batch, 1], the number of the next frame.

    Outputs: audio [batch, frames * hop], which lags the frames by one hop, so that the first hop of a recording lies
    before its start; next_overlap, next_past_B, next_energies and next_frame for the next call.
    """
    graph, config = _TokenGraph(codec), codec.config
    codes = graph.input("codes", "batch", "frames", "codebooks", dtype=TensorProto.INT64)
    codebooks = codec.codebooks.flatten(0, 1)
    table = graph.constant(_array(functional.pad(codebooks, (0, 0, 0, 1))))
    count = graph.node("Squeeze", graph.node("Shape", codes, start=2, end=3))
    zero, one = (graph.constant(np.array(value, np.int64)) for value in (0, 1))
    starts = graph.node("Mul", graph.node("Range", zero, count, one), graph.integers(config.quantizer.codebook_size))
    absent = graph.node("Less", codes, graph.integers(0))
    rows = graph.node("Where", absent, graph.integers(len(codebooks)), graph.node("Add", codes, starts))
    codewords = graph.node("Gather", table, rows, axis=0)
    graph.decoder(graph.node("ReduceSum", codewords, graph.integers(2), keepdims=0))
    return graph.finish("decoder", embed=True)


def _prior_graph(codec: TokenCodec) -> tuple[bytes, list[str]]:
    """The network of one codebook. Its second layer, which does most of the work, multiplies 8-bit integers.

    The inputs of that layer have 7 bits, so that pairwise sums in 16 bits overflow on no processor.
    """
    layers = dict(exact_layers(codec.prior))
    describe, tell = layers["describe.0"], layers["tell.0"]
    weights = {}
    for name, layer in (("describe", describe), ("tell", tell)):
        weights[f"{name}.weight"], weights[f"{name}.bias"] = (part.numpy() for part in layer.integers())
    graph = Graph(weights)
    context = graph.input("context", "count", describe.weight.shape[1])
    unit = graph.number(2.0 ** (ACTIVATION_BITS - describe.weight_bits))
    weight = graph.node("Mul", graph.transpose(graph.weight("describe.weight")), unit)
    bias = graph.node("Mul", graph.weight("describe.bias"), graph.number(2.0 ** (ACTIVATION_BITS - describe.bias_bits)))
    hidden = graph.node("Round", graph.node("Add", graph.node("MatMul", context, weight), bias))
    hidden = graph.node("Clip", hidden, graph.number(0), graph.number(ACTIVATION_LIMIT))
    hidden = graph.node("Cast", hidden, to=TensorProto.UINT8)
    product = graph.node("MatMulInteger", hidden, graph.transpose(graph.raw_weight("tell.weight")))
    logarithms = graph.node("Add", product, graph.raw_weight("tell.bias"))
    graph.output(logarithms, "logarithms", "count", len(tell.weight), dtype=TensorProto.INT32)
    return graph.finish("prior"), graph.weight_names


class _TokenGraph(Graph):
    """A graph with the parts of the token codec, on [batch, frames, channels]."""

    def __init__(self, codec: TokenCodec):
        weights = {name: value.numpy() for name, value in codec.stored_weights().items()}
        super().__init__(weights | {BASIS: _array(codec.mdct.basis)})
        self._codec = codec

    def encoder(self) -> tuple[str, str]:
        """Latents [batch, frames, latent_dim] of the inputs audio and overlap, and energies [batch, frames, bands] or ""."""
        hop, spectrum, layers = self._codec.config.hop, self._codec.spectrum, self._codec.config.encoder_layers
        samples = self.input("audio", "batch", "samples")
        overlap = self.input("overlap", "batch", hop)
        hops = self.reshape(self.node("Concat", overlap, samples, axis=1), 0, -1, hop)
        windows = self.node("Concat", self._slice(hops, 0, -1), self._slice(hops, 1, END), axis=2)
        basis = self.node("Div", self.transpose(self.weight(BASIS)), self.weight("level"))
        coefficients = self.node("MatMul", windows, basis)
        self.output(self.reshape(self._slice(hops, -1, END), 0, hop), "next_overlap", "batch", hop)
        coded = self._slice(coefficients, 0, spectrum.coded, axis=2)
        coded = self._compand(coded, COMPRESSED_FLOOR, spectrum.compand)
        latents = self._linear("analysis", coded)
        if layers:
            latents = self.node("Add", latents, self._stack("encoder", layers, coded))
        return latents, self._energies(coefficients) if spectrum.bands else ""

    def _energies(self, coefficients: str) -> str:
        squares = self.node("Mul", coefficients, coefficients)
        means = self.node("MatMul", squares, self.constant(_array(self._codec.spectrum.means)))
        logarithms = self.node("Log", self.node("Add", means, self.number(ENERGY_FLOOR)))
        energies = self.node("Sub", self.node("Mul", logarithms, self.number(0.5)), self.weight("energy_mean"))
        return self.node("Mul", energies, self.weight("energy_scale"))

    def search(self, latents: str, energies: str) -> tuple[list[str], str]:
        """Codes [batch, frames, N] with N = 1, 2, ... codebooks, and the errors with 0, 1, ... codebooks."""
        settings, latent_dim = self._codec.config.quantizer, self._codec.config.latent_dim
        residuals = self.reshape(latents, 0, -1, 1, latent_dim)
        errors = [self.node("ReduceSumSquare", latents, axes=[2], keepdims=1)]
        codes: list[str] = []
        history, beam = "", 1
        if energies:
            code, before, after = search_energies(self, self._codec.energy_quantizer, energies)
            errors = [self.node("Add", errors[0], before), self.node("Add", errors[0], after)]
            history = self.reshape(code, 0, 0, 1, 1)
            codes.append(code)
        for codebook in self._codec.quantizer.codebooks:
            constant = self.constant(_array(codebook))
            step = SearchStep(self, residuals, constant, beam, settings.codebook_size, settings.beam, axis=2)
            residuals, beam = step.residuals, step.kept
            errors.append(self.node("Add", step.least, after) if energies else step.least)
            index = self.reshape(step.index, 0, 0, beam, 1)
            if history:
                kept = self.node("GatherND", history, step.places, batch_dims=2)
                index = self.node("Concat", kept, index, axis=3)
            history = index
            codes.append(self.reshape(self._slice(history, 0, 1, axis=2), 0, 0, len(codes) + 1))
        return codes, self.node("Concat", *errors, axis=2)

    def decoder(self, latents: str) -> None:
        """The output audio of latents [batch, frames, bands + latent_dim]."""
        config, hop, spectrum = self._codec.config, self._codec.config.hop, self._codec.spectrum
        overlap = self.input("overlap", "batch", hop)
        low, known, levels = latents, latents, ""
        if spectrum.bands:
            words = self._slice(latents, 0, spectrum.bands, axis=2)
            low = self._slice(latents, spectrum.bands, END, axis=2)
            energies = decode_energies(self, self._codec.energy_quantizer, words)
            known = self.node("Concat", energies, low, axis=2)
            levels = self._levels(energies)
        decoded = self._stack("decoder", config.decoder_layers, known)
        features = self._slice(decoded, 0, spectrum.coded, axis=2) if levels else decoded
        features = self.node("Add", self._linear("synthesis", low), features)
        coefficients = self._compand(features, EXPANDED_FLOOR, 1 / spectrum.compand)
        if levels:
            coefficients = self._with_noise(coefficients, decoded, levels)
        windowed = self.node("MatMul", coefficients, self.node("Mul", self.weight(BASIS), self.weight("level")))
        earlier, later = self.nodes("Split", windowed, self.integers(hop, hop), count=2, axis=2)
        waiting = self.node("Concat", self.reshape(overlap, 0, 1, hop), later, axis=1)
        audio = self.reshape(self.node("Add", earlier, self._slice(waiting, 0, -1)), 0, -1)
        if config.output_activation == "tanh":
            audio = self.node("Tanh", audio)
        self.output(audio, "audio", "batch", "samples")
        self.output(self.reshape(self._slice(waiting, -1, END), 0, hop), "next_overlap", "batch", hop)

    def _levels(self, energies: str) -> str:
        """The level of every bin [batch, frames, hop]."""
        energies = self.node("Div", energies, self.weight("energy_scale"))
        energies = self.node("Add", energies, self.weight("energy_mean"))
        return self.node("MatMul", energies, self.constant(_array(self._codec.spectrum.spread)))

    def _with_noise(self, coded: str, decoded: str, levels: str) -> str:
        """All coefficients [batch, frames, hop].

        Adds the input frame [batch, 1], the number of the first frame, and the output next_frame.
        """
        hop, lowest = self._codec.config.hop, self._codec.spectrum.coded
        residual, gains = self._slice(decoded, lowest, hop, axis=2), self._slice(decoded, hop, END, axis=2)
        gains = self.node("Clip", gains, *(self.number(limit) for limit in GAINS))
        amplitudes = self.node("Exp", self.node("Add", levels, gains))
        above = self.node("Mul", residual, self.node("Exp", self._slice(levels, lowest, END, axis=2)))
        start = self.input("frame", "batch", 1, dtype=TensorProto.INT64)
        count = self.node("Squeeze", self.node("Shape", decoded, start=1, end=2))
        self.output(self.node("Add", start, count), "next_frame", "batch", 1, dtype=TensorProto.INT64)
        zero, one = (self.constant(np.array(value, np.int64)) for value in (0, 1))
        numbers = self.node("Add", start, self.node("Range", zero, count, one))
        numbers = self.node("Mod", numbers, self.integers(NOISE_FRAMES))
        noise = self.node("Gather", self.weight("spectrum.noise"), numbers, axis=0)
        return self.node("Add", self.node("Concat", coded, above, axis=2), self.node("Mul", amplitudes, noise))

    def _linear(self, layer: str, x: str) -> str:
        product = self.node("MatMul", x, self.transpose(self.weight(f"{layer}.weight")))
        return self.node("Add", product, self.weight(f"{layer}.bias")) if self.has_weight(f"{layer}.bias") else product

    def _compand(self, x: str, floor: float, power: float) -> str:
        if power == 1:
            return x
        square = self.node("Add", self.node("Mul", x, x), self.number(floor))
        return self.node("Mul", x, self.node("Pow", square, self.number((power - 1) / 2)))

    def _slice(self, x: str, start: int, end: int, axis: int = 1) -> str:
        return self.node("Slice", x, self.integers(start), self.integers(end), self.integers(axis))

    def _stack(self, name: str, layers: int, x: str) -> str:
        """The output of a `CausalStack`. The states of its blocks become inputs and outputs of the graph."""
        x = self._linear(f"{name}.0", x)
        for number in range(layers):
            x = self._block(f"{name}.{number + 1}", number, x)
        return self._linear(f"{name}.{layers + 1}", x)

    def _block(self, block: str, number: int, x: str) -> str:
        channels, _, kernel = self.weight_shape(f"{block}.depthwise.weight")
        past = self.input(f"past_{number}", "batch", kernel - 1, channels)
        line = self.node("Concat", past, x, axis=1)
        self.output(self._slice(line, 1 - kernel, END), f"next_past_{number}", "batch", kernel - 1, channels)
        taps = self.reshape(self.weight(f"{block}.depthwise.weight"), channels, kernel)
        mixed = self.weight(f"{block}.depthwise.bias")
        for tap in range(kernel):
            end = tap - kernel + 1
            delayed = self._slice(line, tap, end if end < 0 else END)
            weight = self.reshape(self._slice(taps, tap, tap + 1), channels)
            mixed = self.node("Add", mixed, self.node("Mul", delayed, weight))
        scale, shift = self.weight(f"{block}.norm.weight"), self.weight(f"{block}.norm.bias")
        mixed = self.node("LayerNormalization", mixed, scale, shift, axis=-1, epsilon=LAYER_NORM_EPSILON)
        wide = self._gelu(self._linear(f"{block}.expand", mixed))
        change = self.node("Mul", self._linear(f"{block}.reduce", wide), self.weight(f"{block}.scale"))
        return self.node("Add", x, change)

    def _gelu(self, x: str) -> str:
        half = self.node("Mul", x, self.number(0.5))
        error = self.node("Erf", self.node("Mul", x, self.number(1 / math.sqrt(2))))
        return self.node("Mul", half, self.node("Add", error, self.number(1.0)))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)

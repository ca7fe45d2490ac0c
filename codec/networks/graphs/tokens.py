"""The token codec as ONNX graphs with explicit state: the state that one call returns is an input of the next.

Running a whole recording at once and running it frame by frame are the same computation. With ONNX Runtime they give the
same numbers to the bit, because each row of a product is summed by itself, however many rows there are.

`runtime_graphs` builds four graphs without weights, for this package's runtime. `encoder_graph` and `decoder_graph` build
self-contained graphs for other software.
"""

import numpy as np
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from telucodec.networks.exact import exact_layers
from telucodec.networks.graphs.search import SearchStep, search_graph
from telucodec.networks.graphs.stack import END, StackGraph
from telucodec.networks.onnx_graph import Graph
from telucodec.networks.tokens.model import TokenCodec
from telucodec.networks.tokens.transform import COMPRESSED_FLOOR, EXPANDED_FLOOR, Transform
from telucodec.networks.tokens.vocoder import Vocoder
from telucodec.vocoder.analysis import FEATURES

BASIS = "mdct.basis"  # the only weight that is computed instead of stored


def runtime_graphs(codec: TokenCodec) -> dict[str, tuple[bytes, list[str]]]:
    """The graphs that `telucodec.tokens.engine` runs, each with the names of its weights.

    encoder: of transform tokens, audio [batch, frames * hop], in which each hop completes a frame, to latents
        [batch, frames, latent_dim].
    search_first, search: one step of the beam search, from residuals [frames, beam, latent_dim] and the weight `codebook`
        [codebook_size, latent_dim] to the residuals of the next step, the `parent` and `index` [frames, beam] of the
        candidates kept, and the least squared error [frames].
    decoder: the sum of a frame's codewords, `known` [batch, frames, described + latent_dim], to audio [batch, frames * hop],
        which lags the frames by one hop; of vocoder tokens to the corrections [batch, frames, OUTPUTS] of the filters.
    prior: the context [count, 2 * (described + latent_dim)] of one codebook to the logarithms [count, codebook_size] of the
        probabilities.

    Encoder and decoder have the state inputs and outputs that `encoder_graph` and `decoder_graph` describe.
    """
    beam = min(codec.config.quantizer.beam, codec.config.quantizer.codebook_size)
    decoder = _TokenGraph(codec)
    width = codec.coding.described + codec.config.latent_dim
    decoder.decoder(decoder.input("known", "batch", "frames", width))
    graphs = {
        "decoder": (decoder.finish("decoder"), decoder.weight_names),
        "search_first": search_graph(codec, 1),
        "search": search_graph(codec, beam),
        "prior": _prior_graph(codec),
    }
    if isinstance(codec.coding, Transform):
        encoder = _TokenGraph(codec)
        encoder.output(encoder.encoder(), "latents", "batch", "frames", codec.config.latent_dim)
        graphs["encoder"] = encoder.finish("encoder"), encoder.weight_names
    return graphs


def encoder_graph(codec: TokenCodec) -> bytes:
    """What is coded to codes of the residual codebooks, with embedded weights.

    Inputs of transform tokens: audio [batch, frames * hop], in which each hop completes a frame; overlap [batch, hop], the
    hop before it; past_B [batch, kernel - 1, channels], the state of block B, zero at the start of a recording. Input of
    vocoder tokens: levels [batch, frames, FEATURES], from `telucodec.vocoder.analysis`, which also gives the other codes.

    Outputs: codes_N [batch, frames, N] with N residual codebooks, for every N; errors [batch, frames, residual codebooks + 1],
    the squared error of the latents with 0, 1, ... of them; next_overlap and next_past_B for the next call.
    """
    graph = _TokenGraph(codec)
    codes, errors = graph.search(graph.encoder())
    graph.output(errors, "errors", "batch", "frames", len(codes) + 1)
    for count, value in enumerate(codes, 1):
        graph.output(value, f"codes_{count}", "batch", "frames", count, dtype=TensorProto.INT64)
    return graph.finish("encoder", embed=True)


def decoder_graph(codec: TokenCodec) -> bytes:
    """Codes to audio, or of vocoder tokens to filters, with embedded weights.

    Inputs: codes [batch, frames, N] of any number of codebooks, with -1 for no codeword; past_B as in the encoder; of
    transform tokens also overlap [batch, hop], the part of the previous frame that is added to the next hop.

    Outputs of transform tokens: audio [batch, frames * hop], which lags the frames by one hop, so that the first hop of a
    recording lies before its start; next_overlap. Outputs of vocoder tokens: spectra [batch, frames, FEATURES] and corrections
    [batch, frames, OUTPUTS], which `telucodec.vocoder.filters` turns into filters of the `excitation` of the codes. Both:
    next_past_B for the next call.
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
    known = graph.node("ReduceSum", codewords, graph.integers(2), keepdims=0)
    empty = graph.node("Slice", absent, graph.integers(0), graph.integers(1), graph.integers(2))
    nothing = functional.pad(codec.coding.absent, (codec.coding.described, 0))
    graph.decoder(graph.node("Where", empty, graph.constant(_array(nothing)), known), spectra=True)
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


class _TokenGraph(StackGraph):
    """A graph with the parts of the token codec, on [batch, frames, channels]."""

    def __init__(self, codec: TokenCodec):
        weights = {name: value.numpy() for name, value in codec.stored_weights().items()}
        if isinstance(codec.coding, Transform):
            weights[BASIS] = _array(codec.coding.mdct.basis)
        super().__init__(weights)
        self._codec = codec

    def encoder(self) -> str:
        """The latents [batch, frames, latent_dim] of the inputs."""
        config, coding = self._codec.config, self._codec.coding
        if isinstance(coding, Vocoder):
            levels = self.input("levels", "batch", "frames", FEATURES)
            centred = self.node("Sub", levels, self.weight("coding.mean"))
            return self.node("MatMul", centred, self.transpose(self.weight("coding.components")))
        hop = config.hop
        samples = self.input("audio", "batch", "samples")
        overlap = self.input("overlap", "batch", hop)
        hops = self.reshape(self.node("Concat", overlap, samples, axis=1), 0, -1, hop)
        windows = self.node("Concat", self.slice(hops, 0, -1), self.slice(hops, 1, END), axis=2)
        basis = self.node("Div", self.transpose(self.weight(BASIS)), self.weight("coding.level"))
        coefficients = self.node("MatMul", windows, basis)
        self.output(self.reshape(self.slice(hops, -1, END), 0, hop), "next_overlap", "batch", hop)
        compressed = self._compand(coefficients, COMPRESSED_FLOOR, config.compand)
        latents = self.linear("coding.analysis", compressed)
        if config.encoder_layers:
            latents = self.node("Add", latents, self.stack("coding.encoder", config.encoder_layers, compressed))
        return latents

    def search(self, latents: str) -> tuple[list[str], str]:
        """Codes [batch, frames, N] with N = 1, 2, ... residual codebooks, and the errors with 0, 1, ... of them."""
        settings, latent_dim = self._codec.config.quantizer, self._codec.config.latent_dim
        residuals = self.reshape(latents, 0, -1, 1, latent_dim)
        errors = [self.node("ReduceSumSquare", latents, axes=[2], keepdims=1)]
        codes: list[str] = []
        history, beam = "", 1
        for codebook in self._codec.quantizer.codebooks:
            constant = self.constant(_array(codebook))
            step = SearchStep(self, residuals, constant, beam, settings.codebook_size, settings.beam, axis=2)
            residuals, beam = step.residuals, step.kept
            errors.append(step.least)
            index = self.reshape(step.index, 0, 0, beam, 1)
            if history:
                kept = self.node("GatherND", history, step.places, batch_dims=2)
                index = self.node("Concat", kept, index, axis=3)
            history = index
            codes.append(self.reshape(self.slice(history, 0, 1, axis=2), 0, 0, len(codes) + 1))
        return codes, self.node("Concat", *errors, axis=2)

    def decoder(self, known: str, spectra: bool = False) -> None:
        """Audio, or corrections, of what is known [batch, frames, described + latent_dim]; with `spectra` these too."""
        config, coding = self._codec.config, self._codec.coding
        decoded = self.stack("decoder", config.decoder_layers, known)
        if isinstance(coding, Vocoder):
            self.output(decoded, "corrections", "batch", "frames", coding.outputs)
            if spectra:
                latents = self.slice(known, coding.described, END, axis=2)
                levels = self.node("MatMul", latents, self.weight("coding.components"))
                levels = self.node("Add", levels, self.weight("coding.mean"))
                self.output(levels, "spectra", "batch", "frames", FEATURES)
            return
        hop = config.hop
        overlap = self.input("overlap", "batch", hop)
        features = self.node("Add", self.linear("coding.synthesis", known), decoded)
        coefficients = self._compand(features, EXPANDED_FLOOR, 1 / config.compand)
        windowed = self.node("MatMul", coefficients, self.node("Mul", self.weight(BASIS), self.weight("coding.level")))
        earlier, later = self.nodes("Split", windowed, self.integers(hop, hop), count=2, axis=2)
        waiting = self.node("Concat", self.reshape(overlap, 0, 1, hop), later, axis=1)
        audio = self.reshape(self.node("Add", earlier, self.slice(waiting, 0, -1)), 0, -1)
        if config.output_activation == "tanh":
            audio = self.node("Tanh", audio)
        self.output(audio, "audio", "batch", "samples")
        self.output(self.reshape(self.slice(waiting, -1, END), 0, hop), "next_overlap", "batch", hop)

    def _compand(self, x: str, floor: float, power: float) -> str:
        if power == 1:
            return x
        square = self.node("Add", self.node("Mul", x, x), self.number(floor))
        return self.node("Mul", x, self.node("Pow", square, self.number((power - 1) / 2)))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy().astype(np.float32)

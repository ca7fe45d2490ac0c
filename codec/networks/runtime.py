"""Writes what the runtime needs next to the weights of a trained network: graphs, shape and checksums."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from telucodec import models
from telucodec.networks.enhancer.model import Enhancer
from telucodec.networks.graphs import enhancer as enhancer_graph
from telucodec.networks.graphs import tokens as token_graph
from telucodec.networks.graphs import waveform as waveform_graph
from telucodec.networks.tokens.model import TokenCodec
from telucodec.networks.tokens.prior import PRICE_BITS
from telucodec.networks.waveform.model import WaveformCodec


def complete(folder: Path, kind: str) -> None:
    """Complete a folder that a network's `save` wrote, so that `telucodec.load` can read it.

    This adds `graphs/` and `runtime.json`, or replaces them. The result depends only on the files in the folder.

    Args:
        folder: holds `model.safetensors` and `config.json`.
        kind: `tokens`, `waveform` or `enhancer`.
    """
    graphs: dict[str, tuple[bytes, list[str]]]
    shape: dict[str, object]
    if kind == models.ENHANCER:
        enhancer = Enhancer.load(folder)
        graphs, shape = enhancer_graph.runtime_graphs(enhancer), asdict(enhancer.config)
    elif kind == "tokens":
        tokens = TokenCodec.load(folder)
        graphs, shape = token_graph.runtime_graphs(tokens), _token_shape(tokens)
    else:
        waveform = WaveformCodec.load(folder)
        graphs, shape = waveform_graph.runtime_graphs(waveform), _waveform_shape(waveform)
    shutil.rmtree(folder / models.GRAPHS, ignore_errors=True)
    (folder / models.GRAPHS).mkdir()
    for name, (data, _) in graphs.items():
        (folder / models.GRAPHS / f"{name}.onnx").write_bytes(data)
    files = [models.WEIGHTS, *(f"{models.GRAPHS}/{name}.onnx" for name in graphs)]
    runtime = {
        "format": models.FORMAT,
        "kind": kind,
        "shape": shape,
        "graphs": {name: weights for name, (_, weights) in graphs.items()},
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files},
    }
    (folder / models.RUNTIME).write_text(json.dumps(runtime, indent=2) + "\n", encoding="utf-8")


def _token_shape(codec: TokenCodec) -> dict[str, object]:
    config = codec.config
    return {
        "sample_rate": config.sample_rate,
        "hop": config.hop,
        "num_codebooks": config.quantizer.num_codebooks,
        "codebook_size": config.quantizer.codebook_size,
        "coding": config.coding,
        "prior_bits": codec.prior.tell[0].bias_bits,
        "depth_bits": PRICE_BITS,
    }


def _waveform_shape(codec: WaveformCodec) -> dict[str, object]:
    context = codec.config.context
    return {
        "sample_rate": codec.config.sample_rate,
        "hop": codec.config.hop,
        "pass_sizes": codec.context.pass_sizes,
        "channels": context.channels,
        "taps": context.taps,
        "dilations": list(context.dilations),
        "level_bits": codec.levels.bits,
    }

"""Stage `export`: weights, configuration, model card, for tokens ONNX too; verified before it counts as done.

`python -m pipeline.export tokens` or `... waveform`.
"""

import logging
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from codec.codec import Codec
from codec.tokens.model import TokenCodec
from codec.waveform.engine import TorchEngine
from codec.waveform.exact import EXACT_LIMIT, exact_layers
from codec.waveform.model import WaveformCodec
from pipeline import files, model_card, stage
from pipeline.sections import Params
from pipeline.shards import Shards
from pipeline.stage import StageError

TOLERANCE = 1e-4  # largest allowed difference of a sample
VERIFIED_SECONDS = 30
VERIFIED_STEP = 400

# The exporter warns about operators of packages that TeluCodec does not use.
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)


def main(params: Params, model: str) -> None:
    source, target = files.MODELS / model, files.EXPORT / model
    shards = Shards(files.SHARDS / "test")
    with files.whole_folder(target) as folder:
        for name in ("model.safetensors", "config.json"):
            shutil.copy2(source / name, folder / name)
        verified = export_tokens(folder, shards) if model == "tokens" else verify_exact(folder, shards)
        files.write_text(folder / "README.md", model_card.render(params, model))
    sizes = {
        f"{path.name}_megabytes": path.stat().st_size / 1e6 for path in sorted(target.iterdir()) if path.suffix != ".md"
    }
    files.write_json(files.METRICS / model / "export.json", {**verified, **sizes})


def export_tokens(folder: Path, shards: Shards) -> dict[str, float]:
    """Write the ONNX encoder and decoder into a folder with the weights, and compare them with PyTorch."""
    codec = TokenCodec.load(folder)
    print("exporting the encoder and the decoder to ONNX", flush=True)
    export_onnx(codec, folder)
    verified = verify(codec, folder, _speech(shards, codec))
    print(f"onnxruntime agrees with PyTorch, largest difference {verified['largest_difference']:.1e}")
    return verified


def verify_exact(folder: Path, shards: Shards) -> dict[str, float]:
    """Code test speech with the exported weights; decode with one thread, with two, and with PyTorch.

    Raises:
        StageError: the weights allow sums that float32 does not hold exactly, or the outputs differ in any bit.
    """
    codec = WaveformCodec.load(folder)
    largest = {name: layer.largest_sum() for name, layer in exact_layers(codec)}
    inexact = [name for name, value in largest.items() if value >= EXACT_LIMIT]
    if inexact:
        raise StageError(f"layers {', '.join(inexact)} can reach sums beyond 2^24; train with a larger weight decay")
    models, ids = {"waveform": codec}, {"waveform": bytes(32)}
    coder, threads = Codec(models, ids), torch.get_num_threads()
    audio = np.concatenate([shards.clip(clip) for clip in range(min(len(shards), 50))])
    audio = audio[: VERIFIED_SECONDS * codec.config.sample_rate]
    data = coder.encode(audio, step=VERIFIED_STEP)
    outputs = []
    for count in (1, 2):
        torch.set_num_threads(count)
        outputs.append(coder.decode(data))
    outputs.append(Codec(models, ids, TorchEngine).decode(data))
    torch.set_num_threads(threads)
    if not all(np.array_equal(outputs[0], other) for other in outputs[1:]):
        raise StageError("one thread, two threads and PyTorch decode a file differently; the export is not written")
    return {"verified_seconds": len(audio) / codec.config.sample_rate, "largest_sum": max(largest.values())}


class OnnxEncoder(nn.Module):
    """Audio [batch, samples], samples a multiple of hop, to codes [batch, levels, frames] with frames = samples / hop + 1."""

    def __init__(self, codec: TokenCodec):
        super().__init__()
        self.codec = codec

    def forward(self, audio: Tensor) -> Tensor:
        return self.codec.encode(audio)


class OnnxDecoder(nn.Module):
    """Codes [batch, levels, frames] to audio [batch, (frames - 1) * hop]."""

    def __init__(self, codec: TokenCodec):
        super().__init__()
        self.codec = codec

    def forward(self, codes: Tensor) -> Tensor:
        return self.codec.decode(codes, (codes.shape[2] - 1) * self.codec.config.hop)


def export_onnx(codec: TokenCodec, folder: Path) -> None:
    """Write encoder.onnx and decoder.onnx, both for any batch and length."""
    hop = codec.config.hop
    batch, frames = torch.export.Dim("batch", min=1, max=1024), torch.export.Dim("frames", min=2, max=1 << 20)
    audio = torch.zeros(2, 9 * hop)
    codes = torch.zeros(2, codec.config.quantizer.levels, 9, dtype=torch.int64)
    _write_onnx(OnnxEncoder(codec), audio, {"audio": {0: batch, 1: hop * frames}}, "codes", folder / "encoder.onnx")
    _write_onnx(OnnxDecoder(codec), codes, {"codes": {0: batch, 2: frames}}, "audio", folder / "decoder.onnx")


def _write_onnx(module: nn.Module, example: Tensor, shapes: dict, output: str, path: Path) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of PyTorch about its own parts
        torch.onnx.export(
            module.eval(),
            (example,),
            path,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(shapes),
            output_names=[output],
            external_data=False,
            verbose=False,
        )
    _forget_origins(path)


def _forget_origins(path: Path) -> None:
    """Take out what the exporter wrote of source files: their paths would make equal models differ between folders."""
    model = onnx.load(path)
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, *model.functions):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    onnx.save(model, path)


def verify(codec: TokenCodec, folder: Path, audio: np.ndarray) -> dict[str, float]:
    """Compare onnxruntime with PyTorch on audio [1, samples].

    Raises:
        StageError: codes differ, or a sample by more than TOLERANCE.
    """
    expected = codec.encode(torch.from_numpy(audio))
    codes = _run(folder / "encoder.onnx", audio)
    differing = int((codes != expected.numpy()).any(axis=1).sum())
    if differing:
        raise StageError(
            f"encoder.onnx gives other codes than PyTorch in {differing} of {codes.shape[2]} frames; export/ is not written"
        )
    output = _run(folder / "decoder.onnx", codes)
    difference = float(np.abs(output - codec.decode(expected, output.shape[1]).numpy()).max())
    if difference > TOLERANCE:
        raise StageError(
            f"decoder.onnx differs from PyTorch by {difference:.2e}, more than {TOLERANCE}; export/ is not written"
        )
    return {"verified_frames": codes.shape[2], "largest_difference": difference}


def _run(path: Path, value: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: value})[0]


def _speech(shards: Shards, codec: TokenCodec) -> np.ndarray:
    """Test speech [1, samples] of at most VERIFIED_SECONDS, a multiple of hop long."""
    wanted = VERIFIED_SECONDS * codec.config.sample_rate
    audio = np.concatenate([shards.clip(clip) for clip in range(min(len(shards), 50))])[:wanted]
    return audio[None, : len(audio) // codec.config.hop * codec.config.hop]


if __name__ == "__main__":
    stage.run(main, sys.argv[1])

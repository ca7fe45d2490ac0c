"""Stage `export`: weights, configuration, ONNX encoder and decoder, model card; verified before it counts as done."""

import logging
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from codec.tokens import TokenCodec
from pipeline import files, model_card, stage
from pipeline.params import Params
from pipeline.shards import Shards
from pipeline.stage import StageError

TOLERANCE = 1e-4  # largest allowed difference of a sample
VERIFIED_SECONDS = 30

# The exporter warns about operators of packages that TeluCodec does not use.
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)


def main(params: Params) -> None:
    codec = TokenCodec.load(files.MODEL)
    audio = _speech(Shards(files.SHARDS / "test"), codec)
    with files.whole_folder(files.EXPORT) as folder:
        for name in ("model.safetensors", "config.json"):
            shutil.copy2(files.MODEL / name, folder / name)
        print("exporting the encoder and the decoder to ONNX", flush=True)
        export_onnx(codec, folder)
        verified = verify(codec, folder, audio)
        files.write_text(folder / "README.md", model_card.render(params, codec.config))
    sizes = {
        f"{name}_megabytes": (files.EXPORT / name).stat().st_size / 1e6
        for name in ("model.safetensors", "encoder.onnx", "decoder.onnx")
    }
    files.write_json(files.METRICS / "export.json", {**verified, **sizes})
    print(f"{files.EXPORT}/: onnxruntime agrees with PyTorch, largest difference {verified['largest_difference']:.1e}")


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
    with torch.no_grad():
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
    stage.run(main)

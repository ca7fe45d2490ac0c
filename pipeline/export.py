"""Stage `export`: weights, configuration, model card, for tokens ONNX too; verified before it counts as done.

`python -m pipeline.export tokens` or `... waveform`.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from codec.codec import Codec
from codec.exact import EXACT_LIMIT, exact_layers
from codec.onnx_graph import session
from codec.tokens.engine import TokenWalk
from codec.tokens.graph import decoder_graph, encoder_graph
from codec.tokens.model import TokenCodec
from codec.waveform.engine import TorchEngine
from codec.waveform.model import WaveformCodec
from pipeline import files, model_card, stage
from pipeline.sections import Params
from pipeline.shards import Shards
from pipeline.stage import StageError

TOLERANCE = 1e-4  # largest allowed difference of a sample
DIFFERING = 0.01  # share of frames in which rounding may tip PyTorch to another code than onnxruntime
VERIFIED_SECONDS = 30
VERIFIED_STEP = 400


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
    """Write the ONNX encoder and decoder into a folder with the weights, and compare them with PyTorch.

    Raises:
        StageError: as in `largest_sum` and `verify`.
    """
    codec = TokenCodec.load(folder)
    export_onnx(codec, folder)
    verified = {"largest_sum": largest_sum(codec), **verify(codec, folder, _speech(shards, codec))}
    print(f"onnxruntime agrees with PyTorch, largest difference {verified['largest_difference']:.1e}")
    return verified


def verify_exact(folder: Path, shards: Shards) -> dict[str, float]:
    """Code test speech with the exported weights; decode with one thread, with two, and with PyTorch.

    Raises:
        StageError: as in `largest_sum`, or the outputs differ in any bit.
    """
    codec = WaveformCodec.load(folder)
    largest = largest_sum(codec)
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
    return {"verified_seconds": len(audio) / codec.config.sample_rate, "largest_sum": largest}


def largest_sum(codec: nn.Module) -> int:
    """The largest sum that any input of the exact layers can lead to.

    Raises:
        StageError: float32 does not hold it exactly.
    """
    largest = {name: layer.largest_sum() for name, layer in exact_layers(codec)}
    inexact = [name for name, value in largest.items() if value >= EXACT_LIMIT]
    if inexact:
        raise StageError(
            f"layers {', '.join(inexact)} can reach sums beyond 2^24; train with a larger weight decay, or make them narrower"
        )
    return max(largest.values())


def export_onnx(codec: TokenCodec, folder: Path) -> None:
    """Write encoder.onnx and decoder.onnx, which go on from call to call; `codec.tokens.graph` says what goes in and out."""
    (folder / "encoder.onnx").write_bytes(encoder_graph(codec))
    (folder / "decoder.onnx").write_bytes(decoder_graph(codec))


def verify(codec: TokenCodec, folder: Path, audio: np.ndarray) -> dict[str, float]:
    """Compare onnxruntime, at once and frame by frame, with PyTorch on audio [samples], a multiple of hop long.

    Raises:
        StageError: codes depend on how the audio is cut, or differ from PyTorch's in more than DIFFERING of the frames, or
            a sample by more than TOLERANCE.
    """
    hop, levels = codec.config.hop, codec.config.quantizer.levels
    padded = np.concatenate([audio, np.zeros(hop, np.float32)])
    encoder, decoder = (session((folder / f"{name}.onnx").read_bytes()) for name in ("encoder", "decoder"))
    (codes,) = TokenWalk(encoder, "audio", [f"codes_{levels}"]).push(padded)
    walk = TokenWalk(encoder, "audio", [f"codes_{levels}"])
    pieces = [walk.push(piece)[0] for piece in np.split(padded, len(padded) // hop)]
    if not np.array_equal(np.concatenate(pieces), codes):
        raise StageError("encoder.onnx gives other codes frame by frame than at once; export/ is not written")
    expected = codec.encode(torch.from_numpy(audio)[None])[0].numpy().T
    differing = float((codes != expected).any(axis=1).mean())
    if differing > DIFFERING:
        raise StageError(
            f"encoder.onnx gives other codes than PyTorch in {differing:.2%} of {len(codes)} frames; export/ is not written"
        )
    output = codec.decode(torch.from_numpy(codes.T)[None], len(audio))[0].numpy()
    (decoded,) = TokenWalk(decoder, "codes", ["audio"]).push(codes)
    difference = float(np.abs(decoded[hop:] - output).max())
    if difference > TOLERANCE:
        raise StageError(
            f"decoder.onnx differs from PyTorch by {difference:.2e}, more than {TOLERANCE}; export/ is not written"
        )
    return {"verified_frames": len(codes), "differing_frames": differing, "largest_difference": difference}


def _speech(shards: Shards, codec: TokenCodec) -> np.ndarray:
    """Test speech [samples] of at most VERIFIED_SECONDS, a multiple of hop long."""
    wanted = VERIFIED_SECONDS * codec.config.sample_rate
    audio = np.concatenate([shards.clip(clip) for clip in range(min(len(shards), 50))])[:wanted]
    return audio[: len(audio) // codec.config.hop * codec.config.hop]


if __name__ == "__main__":
    stage.run(main, sys.argv[1])

"""Stage `export`: a model as the codec runs it, verified before it counts as done, with its card.

`python -m pipeline.export tokens` or `... waveform`. Tokens get ONNX graphs for other programs too, and `... hf` makes of
`export/tokens` a folder for the transformers library.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from pipeline.common import files, stage
from pipeline.common.sections import Params
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.results import hub_card, model_card
from telucodec.codec import Codec
from telucodec.graphs import session
from telucodec.models import ENHANCER, ModelFolder, Models
from telucodec.networks.enhancer.model import Enhancer, Frames
from telucodec.networks.exact import EXACT_LIMIT, exact_layers
from telucodec.networks.graphs.tokens import decoder_graph, encoder_graph
from telucodec.networks.hub import folder as hub_folder
from telucodec.networks.reference import TorchEngine
from telucodec.networks.runtime import complete
from telucodec.networks.tokens.model import TokenCodec
from telucodec.networks.tokens.vocoder import Vocoder
from telucodec.networks.waveform.model import WaveformCodec
from telucodec.tokens.vocoder import SpeechSynthesis
from telucodec.vocoder.analysis import SpeechAnalysis
from telucodec.waveform.engine import WaveformEngine
from telucodec.waveform.enhancer import EnhancerEngine
from telucodec.waveform.grids import FULL_SHAPING
from telucodec.waveform.packets import WaveformPackets
from telucodec.waveform.quantization import Settings

TOLERANCE = 1e-4  # largest allowed difference of a sample
DIFFERING = 0.01  # share of frames in which rounding may tip PyTorch to another code than ONNX Runtime
VERIFIED_SECONDS = 30
VERIFIED_STEP = 400


def main(params: Params, model: str) -> None:
    target = files.EXPORT / model
    speech = _speech(Shards(files.SHARDS / "test"), VERIFIED_SECONDS * params.preprocess.sample_rate)
    with files.whole_folder(target) as folder:
        if model == "hf":
            verified = export_hub(files.EXPORT / "tokens", folder, speech)
            card = hub_card.render(params)
        else:
            _copy(model, folder)
            verified = (export_tokens if model == "tokens" else export_waveform)(folder, speech)
            card = model_card.render(params, model)
        files.write_text(folder / "README.md", card)
    sizes = {
        f"{path.name}_megabytes": path.stat().st_size / 1e6
        for path in sorted(target.iterdir())
        if path.suffix in (".safetensors", ".onnx")
    }
    files.write_json(files.METRICS / model / "export.json", {**verified, **sizes})


def _copy(model: str, folder: Path) -> None:
    """A trained model as the runtime reads it."""
    for name in ("model.safetensors", "config.json"):
        shutil.copy2(files.MODELS / model / name, folder / name)
    complete(folder, model)


def export_tokens(folder: Path, speech: np.ndarray) -> dict[str, float]:
    """Write encoder.onnx and decoder.onnx, weights included, into a folder with the model, and verify all graphs.

    `telucodec.networks.graphs.tokens` says what goes in and out of them.

    Raises:
        StageError: as `largest_sum` and `verify_tokens`.
    """
    network = TokenCodec.load(folder)
    (folder / "encoder.onnx").write_bytes(encoder_graph(network))
    (folder / "decoder.onnx").write_bytes(decoder_graph(network))
    verified = {"largest_sum": largest_sum(network), **verify_tokens(network, folder, speech)}
    print(f"ONNX Runtime agrees with PyTorch, largest difference {verified['largest_difference']:.1e}")
    return verified


def verify_tokens(network: TokenCodec, folder: Path, speech: np.ndarray) -> dict[str, float]:
    """Compare the runtime, at once and frame by frame, and the ONNX graphs with PyTorch on speech [samples].

    Raises:
        StageError: codes depend on how the audio is cut, or differ from PyTorch's in more than DIFFERING of the frames, or
            a sample by more than TOLERANCE.
    """
    codec, hop = Codec(Models({"tokens": folder})), network.config.hop
    audio = speech[: len(speech) // hop * hop]
    tokens = codec.tokenize(audio)
    stream = codec.token_encoder()
    pieces = [stream.push(piece) for piece in np.split(audio, len(audio) // hop)]
    if not np.array_equal(np.concatenate([*pieces, stream.finish()], axis=1), tokens):
        raise StageError("the encoder gives other codes frame by frame than at once; export/ is not written")
    expected = network.encode(torch.from_numpy(audio)[None])[0].numpy()
    differing = _differing(tokens, expected, "the encoder", "PyTorch")
    decoded = codec.detokenize(tokens)
    difference = float(np.abs(decoded - network.decode(torch.from_numpy(tokens)[None], len(audio))[0].numpy()).max())
    if difference > TOLERANCE:
        raise StageError(
            f"the decoder differs from PyTorch by {difference:.2e}, more than {TOLERANCE}; export/ is not written"
        )
    _verify_graphs(network, folder, audio, tokens, decoded)
    return {"verified_frames": tokens.shape[1], "differing_frames": differing, "largest_difference": difference}


def _verify_graphs(
    network: TokenCodec, folder: Path, audio: np.ndarray, tokens: np.ndarray, decoded: np.ndarray
) -> None:
    """Compare encoder.onnx and decoder.onnx with the runtime's tokens [num_codebooks, frames] and audio."""
    encoder, decoder = (session((folder / f"{name}.onnx").read_bytes(), {}) for name in ("encoder", "decoder"))
    padded = np.pad(audio, (0, network.config.hop))
    vocoder = network.coding.codes if isinstance(network.coding, Vocoder) else None
    learned = tokens[network.learned]
    if vocoder is None:
        feed = {"audio": padded[None]}
    else:
        feed = {"levels": SpeechAnalysis(vocoder.pitch, vocoder.phase).push(padded.astype(np.float64))[1][None]}
    (codes,) = encoder.run([f"codes_{len(learned)}"], _from_start(encoder, feed))
    _differing(codes[0].T, learned, "encoder.onnx", "the codec")
    outputs = ["audio"] if vocoder is None else ["spectra", "corrections"]
    found = [part[0] for part in decoder.run(outputs, _from_start(decoder, {"codes": tokens.T[None]}))]
    output = found[0] if vocoder is None else SpeechSynthesis(vocoder).push(vocoder.own(tokens), *found)
    if np.abs(output[network.config.hop :] - decoded).max() > TOLERANCE:
        raise StageError("decoder.onnx gives other audio than the codec; export/ is not written")


def _from_start(graph: onnxruntime.InferenceSession, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs of a graph with the state at the start of a recording."""
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    states = [value for value in graph.get_inputs() if value.name not in feed]
    return feed | {value.name: np.zeros([1, *value.shape[1:]], types[value.type]) for value in states}


def _differing(codes: np.ndarray, expected: np.ndarray, name: str, other: str) -> float:
    """The share of frames in which codes [num_codebooks, frames] differ."""
    differing = float((codes != expected).any(0).mean())
    if differing > DIFFERING:
        raise StageError(
            f"{name} gives other codes than {other} in {differing:.2%} of {codes.shape[1]} frames; export/ is not written"
        )
    return differing


def export_hub(tokens: Path, folder: Path, speech: np.ndarray) -> dict[str, float]:
    """Write what transformers loads into a folder, from that of exported tokens, and compare both on speech [samples].

    Raises:
        StageError: the codes differ, or a sample by more than TOLERANCE.
    """
    from telucodec.networks.hub.modeling_telucodec import TeluCodecModel  # transformers takes seconds to import

    hub_folder.write(tokens, folder)
    model = TeluCodecModel.from_pretrained(folder, local_files_only=True)
    codec = Codec(Models({"tokens": tokens}))
    expected = codec.tokenize(speech)
    with torch.no_grad():
        output = model(torch.from_numpy(speech)[None])
    if not np.array_equal(output.audio_codes[0].numpy(), expected):
        raise StageError("the transformers model gives other codes than the codec; export/ is not written")
    difference = float(np.abs(output.audio_values[0, 0].numpy() - codec.detokenize(expected, len(speech))).max())
    if difference > TOLERANCE:
        raise StageError(
            f"the transformers model differs from the codec by {difference:.2e}, more than {TOLERANCE}; export/ is not written"
        )
    return {"verified_frames": expected.shape[1], "largest_difference": difference}


def export_waveform(folder: Path, speech: np.ndarray) -> dict[str, float]:
    """Add the enhancer to a folder with the model, and verify both.

    The weights decode speech [samples] with one thread, with two, and in PyTorch.

    Raises:
        StageError: as `largest_sum` and `verify_enhancer`, or the outputs differ in any bit.
    """
    (folder / ENHANCER).mkdir()
    _copy(ENHANCER, folder / ENHANCER)
    network = WaveformCodec.load(folder)
    largest = largest_sum(network)
    codecs = [Codec(Models({"waveform": folder}, threads)) for threads in (1, 2)]
    codecs.append(Codec(Models({"waveform": folder}), engine=lambda model: TorchEngine(network)))
    data = codecs[0].encode(speech, step=VERIFIED_STEP)
    output, *others = (codec.decode(data) for codec in codecs)
    if not all(np.array_equal(output, other) for other in others):
        raise StageError("one thread, two threads and PyTorch decode a file differently; export/ is not written")
    return {
        "verified_seconds": len(speech) / network.config.sample_rate,
        "largest_sum": largest,
        "largest_difference": verify_enhancer(folder, network, speech),
    }


def verify_enhancer(folder: Path, codec: WaveformCodec, speech: np.ndarray) -> float:
    """Compare the enhancer in `folder` with PyTorch on decoded speech [samples], at once and frame by frame.

    Returns:
        The largest difference of a coefficient.

    Raises:
        StageError: it is above TOLERANCE.
    """
    coder = WaveformPackets(WaveformEngine(ModelFolder(folder, "waveform")), Settings(VERIFIED_STEP, FULL_SHAPING))
    _, [frames] = coder.encode([codec.mdct(torch.from_numpy(speech)[None])[0].double().numpy()])
    network, engine = Enhancer.load(folder / ENHANCER), EnhancerEngine(ModelFolder(folder / ENHANCER, ENHANCER))
    with torch.no_grad():
        expected, _ = network(Frames(*(torch.from_numpy(part).float()[None] for part in frames)), network.start(1))
    whole, _ = engine.run(*frames, engine.start())
    past, pieces = engine.start(), []
    for number in range(len(whole)):
        coefficients, noise, steps = (part[number : number + 1] for part in frames)
        piece, past = engine.run(coefficients, noise, steps, past)
        pieces.append(piece)
    difference = max(float(np.abs(found - expected[0].numpy()).max()) for found in (whole, np.concatenate(pieces)))
    if difference > TOLERANCE:
        raise StageError(
            f"the enhancer differs from PyTorch by {difference:.2e}, more than {TOLERANCE}; export/ is not written"
        )
    return difference


def largest_sum(network: nn.Module) -> int:
    """The largest sum that any input of the exact layers can lead to.

    Raises:
        StageError: float32 does not hold it exactly.
    """
    largest = {name: layer.largest_sum() for name, layer in exact_layers(network)}
    inexact = [name for name, value in largest.items() if value >= EXACT_LIMIT]
    if inexact:
        raise StageError(
            f"layers {', '.join(inexact)} can reach sums beyond 2^24; train with a larger weight decay, or make them narrower"
        )
    return max(largest.values())


def _speech(shards: Shards, samples: int) -> np.ndarray:
    """At most so many samples of the test split."""
    return np.concatenate([shards.clip(clip) for clip in range(min(len(shards), 50))])[:samples]


if __name__ == "__main__":
    stage.run(main, sys.argv[1])

"""Lyra v2: a neural codec of about 2 million parameters, from 2022, at 3.2, 6 and 9.2 kbit/s of constant rate.

Its three networks are the .tflite files in lyra/model_coeffs of the public repository google/lyra (Apache-2.0; commit
47698dad), 3.6 MB; TELUCODEC_LYRA_MODELS names the folder that holds them.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.peers.peer import Coded, Peer, mode_below

VARIABLE = "TELUCODEC_LYRA_MODELS"
NETWORKS = "soundstream_encoder", "quantizer", "lyragan"
MODES = {3.2: 64, 6.0: 120, 9.2: 184}  # kbit/s: bits a frame
HOP = 320  # samples a frame: 20 ms
QUANTIZERS, BITS = 46, 4  # levels of the residual quantiser, and bits of each
TAIL = 5  # frames of silence that push the last speech through the decoder


def _code(audio: np.ndarray, kbps: float) -> Coded:
    frames = -(-len(audio) // HOP) + TAIL
    padded = np.pad(audio, (0, frames * HOP - len(audio))).reshape(frames, 1, HOP)
    bits = MODES[mode_below(tuple(MODES), kbps)]
    levels = np.array(bits // BITS, np.int32)
    encoder, quantizer, generator = (_fresh(name) for name in NETWORKS)
    features = encoder.get_signature_runner()
    quantize, dequantize = (quantizer.get_signature_runner(name) for name in ("encode", "decode"))
    synthesize = generator.get_signature_runner()
    decoded = []
    for frame in padded:
        latent = features(input_audio=frame)["output_0"]
        codes = _codes(quantize(input_frames=latent, num_quantizers=levels))
        indices = np.full((QUANTIZERS, 1, 1), -1, np.int32)  # -1: a level that is not sent
        indices[:levels, 0, 0] = codes[:levels]
        latent = dequantize(encoding_indices=indices)["output_0"]
        decoded.append(synthesize(input_audio=latent)["output_0"][0])
    return Coded(np.concatenate(decoded), (frames - TAIL) * bits // 8)


def _codes(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """The code of each level, int32 [46]; the network names its outputs in no fixed order."""
    [codes] = [output for output in outputs.values() if output.dtype == np.int32 and output.size == QUANTIZERS]
    return codes.reshape(-1)


def _fresh(network: str) -> Any:
    """An interpreter in the state before the first frame. `reset_all_variables` of a used one does not bring that back."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(Path(os.environ[VARIABLE]) / f"{network}.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _missing() -> str | None:
    folder = Path(os.environ.get(VARIABLE, ""))
    if VARIABLE not in os.environ or not all((folder / f"{network}.tflite").is_file() for network in NETWORKS):
        files = ", ".join(f"{network}.tflite" for network in NETWORKS)
        return f"needs {VARIABLE}=FOLDER with {files} of google/lyra, lyra/model_coeffs"
    return None if find_spec("ai_edge_litert") else "needs ai-edge-litert: pip install 'telucodec[peers]'"


PEER = Peer(
    name="lyra",
    title="Lyra v2",
    rates=tuple(MODES),
    judged=(3.2,),
    lowest=min(MODES),
    highest=max(MODES),
    code=_code,
    missing=_missing,
)

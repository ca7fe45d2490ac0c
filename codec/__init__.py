"""TeluCodec: a speech codec for Telugu.

import telucodec
telu = telucodec.load()
data = telu.encode(audio, snr=30)           # audio: mono, 16 kHz, float32 in [-1, 1] or int16
audio = telu.decode(data)
tokens = telu.tokenize(audio)               # int64 [num_codebooks, frames]

Importing this package reads no model and imports no library; that waits for `load`.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from telucodec.errors import (
    AudioError,
    CodecError,
    ContainerError,
    DamagedPacketError,
    DatasetError,
    ModelError,
    OutOfReachWarning,
)
from telucodec.operating_point import OperatingPoint

if TYPE_CHECKING:
    from telucodec.codec import Codec

# Wheels of ONNX Runtime (1.32) have telemetry, which begins at their import and leaves files in the home directory.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.2.0"

__all__ = [
    "AudioError",
    "Codec",
    "CodecError",
    "ContainerError",
    "DamagedPacketError",
    "DatasetError",
    "ModelError",
    "OperatingPoint",
    "OutOfReachWarning",
    "__version__",
    "load",
]


def load(folder: Path | str | None = None, kinds: Iterable[str] = ("waveform", "tokens"), threads: int = 1) -> "Codec":
    """The codec that came with this package, or the models in a folder; see `telucodec.codec.load`."""
    from telucodec.codec import load as load_codec

    return load_codec(folder, kinds, threads)


def __getattr__(name: str) -> object:
    if name == "Codec":
        from telucodec.codec import Codec

        return Codec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

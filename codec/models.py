"""The models in a folder, found at once and read when they are needed."""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError

from codec.tokens.model import TokenCodec
from codec.waveform.model import WaveformCodec

KINDS = {"waveform": WaveformCodec, "tokens": TokenCodec}


class ModelError(ValueError):
    """A model is missing, or not the one a file was made with."""


class Folder(Mapping):
    """The models in a folder by kind, each read when it is first asked for: one that is not needed takes no memory."""

    def __init__(self, folder: Path, kinds: list[str]):
        self._kinds = kinds
        self._read = functools.cache(lambda kind: _read(KINDS[kind], folder / kind))

    def __getitem__(self, kind: str) -> "WaveformCodec | TokenCodec":
        if kind not in self._kinds:
            raise KeyError(kind)
        return self._read(kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)


def identity(folder: Path) -> bytes:
    """What files name the model in a folder by: the SHA-256 digest of its weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).digest()


def _read(kind: type, folder: Path) -> WaveformCodec | TokenCodec:
    try:
        return kind.load(folder)
    except (OSError, SafetensorError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder} holds no model that can be read: {error}") from error

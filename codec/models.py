"""Models in folders: what the runtime reads of them, checked against their checksums.

A folder holds `model.safetensors` (the weights), `graphs/*.onnx` (the computation, without weights) and `runtime.json` (shape,
and the SHA-256 of each file). `telucodec.networks.runtime` writes the last two for a network that was trained.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from telucodec.errors import ModelError
from telucodec.graphs import session

KINDS = "waveform", "tokens"
ENHANCER = "enhancer"  # a model in a subfolder of a waveform model
FORMAT = 2  # of runtime.json
WEIGHTS, GRAPHS, RUNTIME = "model.safetensors", "graphs", "runtime.json"


class Model(Protocol):
    """What the runtime needs of a model."""

    @property
    def shape(self) -> Mapping[str, Any]:
        """Sample rate, hop and other values by name."""

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """Weights by name, in the types they are stored in."""

    def session(self, graph: str, weights: Mapping[str, np.ndarray] | None = None) -> onnxruntime.InferenceSession:
        """The graph of this name, with the model's weights, or others."""


class ModelFolder:
    """One model: its shape, weights and graphs, each read when it is first needed.

    Raises:
        ModelError: something is missing, damaged, or was written for another version; the message names the file.
    """

    def __init__(self, folder: Path, kind: str, threads: int = 1):
        self.folder, self.kind, self.threads = folder, kind, threads
        try:
            text = (folder / RUNTIME).read_text(encoding="utf-8")
        except OSError as error:
            raise ModelError(f"{folder / RUNTIME}: {error.strerror}; name a folder that `export` wrote") from None
        try:
            self._runtime = json.loads(text)
            self.shape: Mapping[str, Any] = self._runtime["shape"]
            self._checksums: Mapping[str, str] = self._runtime["sha256"]
            right = self._runtime["format"] == FORMAT and self._runtime["kind"] == kind
        except (ValueError, LookupError, TypeError):
            raise ModelError(f"{folder / RUNTIME} is damaged; export the model again") from None
        if not right:
            raise ModelError(f"{folder / RUNTIME} is not a {kind} model of format {FORMAT}; export the model again")

    @property
    def id(self) -> bytes:
        """The SHA-256 of the weights: files name the model by its first 4 bytes."""
        return bytes.fromhex(self._checksums[WEIGHTS])

    @functools.cached_property
    def weights(self) -> Mapping[str, np.ndarray]:
        """Weights by name, in the types they are stored in."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return load(self._read(WEIGHTS))
        except SafetensorError as error:
            raise ModelError(f"{self.folder / WEIGHTS} cannot be read: {error}") from None

    def session(self, graph: str, weights: Mapping[str, np.ndarray] | None = None) -> onnxruntime.InferenceSession:
        """The graph of this name, with the model's weights, or others."""
        names = self._runtime["graphs"][graph]
        given = self.weights if weights is None else weights
        missing = [name for name in names if name not in given]
        if missing:
            raise ModelError(f"{self.folder / WEIGHTS} lacks {', '.join(missing)}, which {graph}.onnx needs")
        return session(self._read(f"{GRAPHS}/{graph}.onnx"), {name: given[name] for name in names}, self.threads)

    def _read(self, name: str) -> bytes:
        try:
            data = (self.folder / name).read_bytes()
        except OSError as error:
            raise ModelError(f"{self.folder / name}: {error.strerror}; export the model again") from None
        if hashlib.sha256(data).hexdigest() != self._checksums.get(name):
            raise ModelError(
                f"{self.folder / name} is damaged (its SHA-256 is not the one in {RUNTIME}); copy it again"
            )
        return data

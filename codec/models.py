"""Models in folders: what the runtime reads of them, checked against their checksums.

A folder holds `model.safetensors` (the weights), `graphs/*.onnx` (the computation, without weights) and `runtime.json` (shape,
and the SHA-256 of each file). `telucodec.networks.runtime` writes the last two for a network that was trained.
"""

import functools
import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from telucodec.errors import ModelError
from telucodec.files.header import Header, Mode
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


class Models:
    """The models of a codec by kind, each read when it is first needed. They can be copied and sent to other processes.

    Args:
        folders: by kind.
        threads: processor threads of the networks.
    """

    def __init__(self, folders: Mapping[str, Path], threads: int = 1):
        self.folders, self._threads = folders, threads
        self._read: dict[str, ModelFolder] = {}

    @classmethod
    def below(cls, folder: Path, kinds: Collection[str], threads: int) -> "Models":
        """The models in subfolders that have the names of their kinds.

        Raises:
            ModelError: there is none.
        """
        present = {kind: folder / kind for kind in kinds if (folder / kind).is_dir()}
        if not present:
            raise ModelError(f"no model in {folder}: there is no folder {' or '.join(kinds)}")
        return cls(present, threads)

    def __reduce__(self) -> tuple[type["Models"], tuple[Mapping[str, Path], int]]:
        return Models, (self.folders, self._threads)

    def __getitem__(self, kind: str) -> ModelFolder:
        """
        Raises:
            ModelError: there is no such model.
        """
        if kind not in self.folders:
            raise ModelError(f"no {kind} model is loaded; loaded: {', '.join(self.folders)}")
        if kind not in self._read:
            self._read[kind] = ModelFolder(self.folders[kind], kind, self._threads)
        return self._read[kind]

    @property
    def enhancer(self) -> ModelFolder | None:
        """The enhancer of the waveform model, if it has one."""
        folder = self.folders["waveform"] / ENHANCER
        return ModelFolder(folder, ENHANCER, self._threads) if folder.is_dir() else None

    @property
    def sample_rate(self) -> int:
        """Samples per second of all audio.

        Raises:
            ModelError: no model can be read.
        """
        errors = []
        for kind in self.folders:  # one model is enough, also when the other is damaged
            try:
                return self[kind].shape["sample_rate"]
            except ModelError as error:
                errors.append(error)
        raise errors[0]

    def that_wrote(self, header: Header) -> ModelFolder:
        """The model that a file was made with.

        Raises:
            ModelError: it is another one.
        """
        kind = "tokens" if header.mode is Mode.TOKENS else "waveform"
        model = self[kind]
        if header.model != model.id[:4]:
            raise ModelError(
                f"the file was made with {kind} model {header.model.hex()}, this one is {model.id[:4].hex()}; "
                "name the folder of the model it was made with (--model)"
            )
        return model

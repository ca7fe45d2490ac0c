"""What a training run depends on, read from dvc.yaml, so that DVC and the checkpoints can never disagree."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pipeline.common.sections import Params
from pipeline.common.yaml12 import parse

CODE = Path(__file__).parents[2]  # the folder that holds dvc.yaml, codec/ and pipeline/
CODE_FOLDERS = "codec", "pipeline"
SHIPPED = "codec/weights/"  # they count where a run starts from them, like any other weights
BLOCK = 1 << 20  # bytes


def listed(model: str, kind: str, code: Path = CODE) -> list[str]:
    """The entries that dvc.yaml lists for `train@MODEL` or `train_MODEL`.

    Args:
        model: `tokens`, `waveform` or `enhancer`.
        kind: `deps` or `params`.
        code: the folder that holds dvc.yaml.
    """
    document: Any = parse((code / "dvc.yaml").read_text(encoding="utf-8"), "dvc.yaml")
    train = document["stages"]["train"]
    if model not in train["foreach"]:
        return document["stages"][f"train_{model}"][kind]
    values = {"key": model} | {f"item.{name}": value for name, value in train["foreach"][model].items()}
    return [re.sub(r"\$\{(.+?)\}", lambda match: values[match[1]], entry) for entry in train["do"][kind]]


def parameters(params: Params, model: str, code: Path = CODE) -> dict[str, object]:
    """The parameters that decide the result of a training run, by dotted key."""
    values: dict[str, object] = {}
    for key in listed(model, "params", code):
        value: Any = params.model_dump()
        for part in key.split("."):
            value = value[part]
        values[key] = value
    return values


def run_key(params: Params, model: str, weights: list[Path], code: Path = CODE) -> str:
    """The name of a training run: equal if and only if its result is.

    It covers the parameters and the contents of all dependencies that dvc.yaml lists for the stage, the version of PyTorch,
    and the weights that the training starts from. Dependencies in codec/ and pipeline/ are code, read from `code`; all
    others are data, read from the working directory.

    Args:
        weights: files of the model that the training starts from.
    """
    described = [model, parameters(params, model, code), torch.__version__]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for dependency in sorted(listed(model, "deps", code)):
        if dependency.startswith(SHIPPED):
            continue
        is_code = Path(dependency).parts[0] in CODE_FOLDERS
        root = code if is_code else Path()
        for path in _files(root / dependency, "*.py" if is_code else "*"):
            _add(digest, path.relative_to(root).as_posix(), path)
    for path in sorted(weights):
        _add(digest, path.name, path)
    return digest.hexdigest()[:16]


def _files(place: Path, pattern: str) -> Iterator[Path]:
    """A file, or the files below a folder that match a pattern.

    Raises:
        FileNotFoundError: there is nothing at `place`.
    """
    if not place.is_dir():
        yield place
        return
    yield from sorted(path for path in place.rglob(pattern) if path.is_file())


def _add(digest: "hashlib._Hash", name: str, path: Path) -> None:
    """Add a file's name, length and contents."""
    digest.update(f"{name} {path.stat().st_size}\n".encode())
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)

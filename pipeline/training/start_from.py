"""Training that starts from the weights of an earlier run: `train.start_from`."""

import hashlib
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from safetensors import SafetensorError

from pipeline.common import files
from pipeline.common.sections import Loop
from pipeline.common.stage import StageError

WEIGHTS = "model.safetensors"
UNREADABLE = (OSError, SafetensorError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)


class Network(Protocol):
    """A network that can be read from a folder."""

    config: Any

    @classmethod
    def load(cls, folder: Path) -> Self: ...


N = TypeVar("N", bound=Network)


def folder(loop: Loop, kind: str) -> Path | None:
    """The folder of the model to start from, or None to train from scratch."""
    return None if loop.start_from is None else files.resolve_root(loop.start_from) / kind


def weights(loop: Loop, kind: str) -> list[Path]:
    """The files of the model to start from. DVC does not track them."""
    place = folder(loop, kind)
    return [] if place is None else sorted([*place.glob("*.safetensors"), *place.glob("config.json")])


def identity(loop: Loop, kind: str) -> str | None:
    """The id of the model to start from: the first digits of its weights' SHA-256 digest, as in `.tlc` files."""
    place = folder(loop, kind)
    return None if place is None else hashlib.sha256((place / WEIGHTS).read_bytes()).hexdigest()[:8]


def load(
    loop: Loop, kind: str, network: type[N], config: object, shape: Callable[[Any], dict[str, object]]
) -> N | None:
    """The model to start from, or None.

    Args:
        network: class of the model.
        config: of the model that is to be trained.
        shape: returns the values of a configuration in which both models must agree, by their keys in params.yaml.

    Raises:
        StageError: the folder holds no such model or one of another shape, or the pipeline writes into that folder.
    """
    place = folder(loop, kind)
    if place is None:
        return None
    key = "train.start_from" if kind == "tokens" else f"{kind}.train.start_from"
    if place.parent.resolve() in [path.resolve() for path in (files.MODELS, files.EXPORT)]:
        raise StageError(
            f"{key}: the pipeline itself writes into {loop.start_from}, so the run would replace its own starting point. Copy "
            f"the folder (cp -r {loop.start_from} FOLDER) and name the copy"
        )
    try:
        model = network.load(place)
    except UNREADABLE as error:
        raise StageError(
            f"{key}: {place} holds no readable model ({error}); name the folder that holds {kind}/config.json"
        ) from None
    theirs, own = shape(model.config), shape(config)
    other = {name: value for name, value in theirs.items() if own[name] != value}
    if other:
        settings = " ".join("-S " + shlex.quote(f"{name}={json.dumps(value)}") for name, value in other.items())
        raise StageError(f"{key}: the model in {place} has another shape than params.yaml describes; add {settings}")
    return model


def recall(loop: Loop, kind: str, read: Callable[[Path], None]) -> None:
    """Let `read` take what else there is in the folder of the model to start from.

    Raises:
        StageError: it does not fit.
    """
    place = folder(loop, kind)
    if place is None:
        return
    try:
        read(place)
    except UNREADABLE as error:
        raise StageError(f"what is beside the model in {place} does not fit this version: {error}; remove it") from None

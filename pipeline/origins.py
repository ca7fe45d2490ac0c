"""Training that goes on from what another run has learnt: `train.start_from`."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

from torch import nn

from codec import models
from codec.models import Folder, ModelError
from pipeline import files
from pipeline.sections import Loop
from pipeline.stage import StageError


def folder(loop: Loop, kind: str) -> Path | None:
    """Where the model to go on from lies, if there is one."""
    return None if loop.start_from is None else files.resolve_root(loop.start_from) / kind


def identity(loop: Loop, kind: str) -> str | None:
    """The id of the model to go on from, as files made with it say it: DVC knows nothing of what lies in that folder."""
    if (place := folder(loop, kind)) is None:
        return None
    return models.identity(place).hex()[:8]


def load(loop: Loop, kind: str, config: object, shape: Callable[[object], dict[str, object]]) -> nn.Module | None:
    """The model to go on from, or None.

    Args:
        config: of the model that is trained.
        shape: gives a configuration's values that two models must have in common, by their keys in params.yaml.

    Raises:
        StageError: there is no model in that folder, or one of another shape, or the pipeline writes there.
    """
    if (place := folder(loop, kind)) is None:
        return None
    key = "train.start_from" if kind == "tokens" else f"{kind}.train.start_from"
    if place.parent.resolve() in [path.resolve() for path in (files.MODELS, files.EXPORT)]:
        raise StageError(
            f"{key}: {loop.start_from} is where the pipeline writes, so its model would be gone before the run could be "
            f"repeated; copy it (cp -r {loop.start_from} FOLDER) and name the copy"
        )
    try:
        model = Folder(place.parent, [kind])[kind]
    except ModelError as error:
        raise StageError(f"{key}: {error}; name the folder that holds {kind}/config.json") from None
    theirs, own = shape(model.config), shape(config)
    other = {name: value for name, value in theirs.items() if own[name] != value}
    if other:
        settings = " ".join("-S " + shlex.quote(f"{name}={json.dumps(value)}") for name, value in other.items())
        raise StageError(f"{key}: the model in {place} has another shape than params.yaml says; give {settings}")
    return model

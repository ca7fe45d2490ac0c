"""Training that goes on from what another run has learnt: `train.start_from`."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from codec.models import Folder, ModelError
from pipeline.sections import Loop
from pipeline.stage import StageError


def folder(loop: Loop, kind: str) -> Path | None:
    """Where the model to go on from lies, if there is one."""
    return None if loop.start_from is None else Path(loop.start_from) / kind


def load(loop: Loop, kind: str, config: object, shape: Callable[[object], dict[str, object]]) -> nn.Module | None:
    """The model to go on from, or None.

    Args:
        config: of the model that is trained.
        shape: gives a configuration's values that two models must have in common, by their keys in params.yaml.

    Raises:
        StageError: there is no model in that folder, or one of another shape.
    """
    if (place := folder(loop, kind)) is None:
        return None
    key = "train.start_from" if kind == "tokens" else f"{kind}.train.start_from"
    try:
        model = Folder(place.parent, [kind])[kind]
    except ModelError as error:
        raise StageError(f"{key}: {error}") from None
    theirs, own = shape(model.config), shape(config)
    other = [name for name in own if theirs[name] != own[name]]
    if other:
        here, there = (", ".join(f"{name}={values[name]}" for name in other) for values in (own, theirs))
        raise StageError(f"{key}: the model in {place} has {there}, params.yaml {here}; they must be the same")
    return model

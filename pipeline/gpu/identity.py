"""What a bundle was made from: ids of its parameters, data, code and starting weights."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.common.stage import StageError

BUNDLE = "bundle.json"
PARTS = {"params": "params.yaml", "data": "shards", "code": "code", "start_from": "start_from", "codec": "codec"}


def identify(folder: Path) -> dict[str, str]:
    """The id of each part of a bundle: 16 hexadecimal digits; a part that is absent has the id of nothing."""
    return {name: _digest(folder / place) for name, place in PARTS.items()}


def read(folder: Path) -> dict[str, str]:
    """The ids in a bundle's `bundle.json`.

    Raises:
        StageError: there is no bundle.
    """
    return _about(folder, "ids")


def models(folder: Path) -> list[str]:
    """The models that a bundle trains.

    Raises:
        StageError: there is no bundle.
    """
    return _about(folder, "models")


def _about(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / BUNDLE).read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StageError(f"{folder} holds no bundle ({error}); make it with `python -m pipeline.gpu.bundle`") from None


def differing(ids: dict[str, str], others: dict[str, str]) -> list[str]:
    """The parts whose ids differ."""
    return [name for name in PARTS if ids.get(name) != others.get(name)]


def _digest(place: Path) -> str:
    digest = hashlib.sha256()
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    for path in files:
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(place.parent).as_posix()} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

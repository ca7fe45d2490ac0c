"""Which models a bundle trains, and what of the time each of them gets.

Lanes are trained side by side, because no model alone keeps a GPU busy. Within a lane one model follows another that it needs.
"""

from collections.abc import Iterable
from pathlib import Path

LANES = (("tokens", 1.0),), (("waveform", 0.35), ("enhancer", 0.65))  # shares of the minutes
MODELS = tuple(name for lane in LANES for name, _ in lane)

Lane = list[tuple[str, float]]


def chosen(models: Iterable[str]) -> list[Lane]:
    """The lanes that train these models. The shares in a lane add up to 1."""
    names = set(models)
    lanes = [[(name, share) for name, share in lane if name in names] for lane in LANES]
    return [[(name, share / sum(part for _, part in lane)) for name, share in lane] for lane in lanes if lane]


def folder(model: str, root: Path) -> Path:
    """The folder of a model below `root`, in the layout of `codec/weights`."""
    return root / "waveform" / model if model == "enhancer" else root / model


def section(model: str) -> str:
    """What precedes the keys of a model's training in params.yaml."""
    return "" if model == "tokens" else f"{model}."

"""What the training loop needs to know of a model: the task of training it."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.sections import Loop, Params
from pipeline.shards import Shards


class Draws(Protocol):
    """The random draws that a step may make: those of `numpy.random.Generator`."""

    def random(self, size) -> np.ndarray: ...
    def uniform(self, low: float, high: float, size) -> np.ndarray: ...
    def integers(self, low: int, high: int, size) -> np.ndarray: ...


Crops = Callable[[int], Tensor]  # a number of training crops [count, samples]


class Task(Protocol):
    """A model, its loss, and what is measured of it. `pipeline.train` brings data, optimiser, schedule and checkpoints."""

    name: str
    sections: tuple[str, ...]  # of params.yaml, that decide the result besides `preprocess`
    loop: Loop
    model: nn.Module
    progress: float  # share of the run that has passed, set before each step

    def compile(self) -> None:
        """Let torch.compile have the expensive parts."""

    def start(self, crops: Crops) -> None:
        """Set the model's starting point from speech."""

    def step(self, audio: Tensor, random: Draws) -> dict[str, Tensor]:
        """Loss terms of a batch [batch, samples]; `total` is what is minimised.

        In data-parallel training the batch is this rank's share, and the ranks' mean of every term is that of the whole
        batch. All draws from `random` have the batch as their first dimension.
        """

    def epoch_statistics(self) -> dict[str, float]:
        """What the steps since the last call showed beside the loss."""

    def validate(self, shards: Shards) -> dict[str, float]:
        """Means over validation clips."""

    def headline(self, row: dict[str, float]) -> str:
        """The one figure to show while training."""

    def refuse(self, statistics: dict[str, float], epoch: int) -> None:
        """Raise StageError if to go on is a waste of time."""

    def state(self) -> dict:
        """What a checkpoint must hold beside the model and its optimiser."""

    def restore(self, state: dict) -> None:
        """Take what `state` gave."""

    def finish(self, crops: Crops) -> None:
        """What remains to be done once, after the last step."""

    def save(self, folder: Path) -> None:
        """Write the trained model into a folder."""

    def summary(self, start: dict[str, float], end: dict[str, float]) -> dict[str, dict[str, float]]:
        """Of the first and the last validation what the metrics file shows."""


def task(name: str, params: Params, device: torch.device) -> Task:
    """The task named `tokens` or `waveform`."""
    if name == "tokens":
        from pipeline.tokens_task import TokenTask

        return TokenTask(params, device)
    from pipeline.waveform_task import WaveformTask

    return WaveformTask(params, device)

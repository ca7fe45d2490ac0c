"""What the training loop needs to know about a model: the task of training it."""

from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from pipeline.common.shards import Shards
from pipeline.training.batches import Analyse, Batch, Batches

Size = int | tuple[int, ...]


class Draws(Protocol):
    """The random draws that a step may make: a part of `numpy.random.Generator`."""

    def random(self, size: Size) -> np.ndarray: ...
    def uniform(self, low: float, high: float, size: Size) -> np.ndarray: ...
    def integers(self, low: int, high: int, size: Size) -> np.ndarray: ...


class Task(Protocol):
    """A model, its loss and its measures. The loop adds data, optimiser, schedule and checkpoints."""

    name: str
    progress: float  # completed share of the run, set before each step

    @property
    def model(self) -> nn.Module:
        """What the optimiser trains."""

    def compile(self, backend: str = "inductor") -> None:
        """Compile the expensive parts with torch.compile and one of its backends."""

    def start(self, batches: Batches) -> None:
        """Initialise the model from speech."""

    def ahead(self) -> Analyse | None:
        """What a processor finds out about crops before a step needs it; None: nothing."""

    def step(self, batch: Batch, random: Draws) -> dict[str, Tensor]:
        """Loss terms of a batch; the loop minimises `total`.

        In data-parallel training the batch is this rank's share, and the mean of a term over the ranks is that of the
        whole batch. The first dimension of all draws from `random` is the batch.
        """

    def epoch_statistics(self) -> dict[str, float]:
        """Figures beside the loss, over the steps since the last call."""

    def validate(self, shards: Shards) -> dict[str, float]:
        """Means over validation clips."""

    def headline(self, row: dict[str, float]) -> str:
        """The main figures of an epoch, for the progress bar."""

    def refuse(self, statistics: dict[str, float], epoch: int) -> None:
        """End a run that cannot succeed.

        Raises:
            StageError: the model is beyond repair.
        """

    def state(self) -> dict:
        """What a checkpoint must hold besides the model and its optimiser."""

    def restore(self, state: dict) -> None:
        """Continue from what `state` returned."""

    def finish(self, batches: Batches) -> None:
        """What remains to be done once after the last step."""

    def save(self, folder: Path) -> None:
        """Write the trained model into a folder."""

    def summary(self, start: dict[str, float], end: dict[str, float]) -> dict[str, dict[str, float]]:
        """The part of the first and the last validation that the metrics file holds."""

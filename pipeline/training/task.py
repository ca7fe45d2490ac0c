"""What the training loop needs to know about a model: the task of training it."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor, nn

from pipeline.common.shards import Shards
from pipeline.training.batches import Batches

Size = int | tuple[int, ...]
Model = TypeVar("Model", bound=nn.Module)


class Draws(Protocol):
    """The random draws that a step may make: a part of `numpy.random.Generator`."""

    def random(self, size: Size) -> np.ndarray: ...
    def uniform(self, low: float, high: float, size: Size) -> np.ndarray: ...
    def integers(self, low: int, high: int, size: Size) -> np.ndarray: ...


class Learner(Protocol):
    """What a checkpoint must hold of it, and how it continues from there."""

    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


class Task(ABC, Generic[Model]):
    """A model, its loss and its measures. The loop adds data, optimiser, schedule and checkpoints."""

    name: str
    model: Model  # what the optimiser trains
    progress = 0.0  # completed share of the run, set before each step
    adversary: Learner | None = None  # what else learns in a step

    @abstractmethod
    def compile(self, backend: str = "inductor") -> None:
        """Compile the expensive parts with torch.compile and one of its backends."""

    @abstractmethod
    def start(self, batches: Batches) -> None:
        """Initialise the model, from speech or from the weights of an earlier one."""

    @abstractmethod
    def step(self, audio: Tensor, random: Draws) -> dict[str, Tensor]:
        """Loss terms of a batch [batch, samples]; the loop minimises `total`.

        In data-parallel training the batch is this rank's share, and the mean of a term over the ranks is that of the
        whole batch. The first dimension of all draws from `random` is the batch.
        """

    def epoch_statistics(self) -> dict[str, float]:
        """Figures beside the loss, over the steps since the last call."""
        return {}

    @abstractmethod
    def validate(self, shards: Shards) -> dict[str, float]:
        """Means over validation clips."""

    @abstractmethod
    def headline(self, row: dict[str, float]) -> str:
        """The main figures of an epoch, for the progress bar."""

    def refuse(self, statistics: dict[str, float], epoch: int) -> None:
        """End a run that cannot succeed. By default any can.

        Raises:
            StageError: the model is beyond repair.
        """
        return

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold besides the model and its optimiser."""
        return {} if self.adversary is None else self.adversary.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        if self.adversary is not None:
            self.adversary.restore(state)

    def finish(self, batches: Batches) -> None:
        """What remains to be done once after the last step. By default nothing."""
        return

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the trained model into a folder."""

    @abstractmethod
    def summary(self, start: dict[str, float], end: dict[str, float]) -> dict[str, dict[str, float]]:
        """The part of the first and the last validation that the metrics file holds."""

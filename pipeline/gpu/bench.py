"""What every check needs: training runs with other settings, on a few validation clips, large on a GPU and small on a CPU."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline import train
from pipeline.common import files
from pipeline.common import params as parameters
from pipeline.common.shards import Shards
from pipeline.gpu import lanes
from pipeline.training.loop import Run

VALIDATED = 2  # clips: the checks need the state after a validation, not its figures


class FewClips(Shards):
    def audible(self, count: int) -> list[np.ndarray]:
        return super().audible(VALIDATED)


@dataclass(frozen=True)
class Bench:
    """Makes training runs from params.yaml in the working directory.

    Args:
        models: that the bundle trains.
    """

    device: torch.device
    models: tuple[str, ...]

    @property
    def small(self) -> bool:
        """Without a GPU the checks only show that they work."""
        return self.device.type == "cpu"

    def sized(self, full: int, small: int) -> int:
        """A number of steps."""
        return small if self.small else full

    def run(self, model: str = "tokens", **overrides: object) -> Run:
        """A run before its start. `__` in a name stands for a dot in a key of the model's parameters: `train__batch=8`.

        Where the waveform codec is still to be trained, an enhancer gets the one that its training starts from.
        """
        if model == "enhancer" and not (files.MODELS / "waveform").exists():
            codec = self.run("waveform")
            codec.task.start(codec.batches)
            with files.whole_folder(files.MODELS / "waveform") as folder:
                codec.task.save(folder)
        fixed = {"train.processes": 1, "train.compile": False, "train.minutes": None, "train.device": self.device.type}
        changes = fixed | {name.replace("__", "."): value for name, value in overrides.items()}
        changes = {lanes.section(model) + key: value for key, value in changes.items()}
        run = train.prepare(parameters.load_with(changes), model)
        run.validation = FewClips(files.SHARDS / "validation")
        return run

    def started(self, model: str = "tokens", **overrides: object) -> Run:
        """A run that is ready for its first step."""
        run = self.run(model, **overrides)
        run.start()
        return run

    def synchronise(self) -> None:
        if not self.small:
            torch.cuda.synchronize()

    @contextlib.contextmanager
    def timed(self) -> Iterator["Stopwatch"]:
        """The seconds that the block takes, with all that it started on the GPU."""
        watch = Stopwatch()
        self.synchronise()
        began = time.perf_counter()
        yield watch
        self.synchronise()
        watch.seconds = time.perf_counter() - began


@dataclass
class Stopwatch:
    seconds: float = 0.0


def weights(run: Run) -> dict[str, Tensor]:
    """A copy of all weights and buffers of the model, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in run.task.model.state_dict().items()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> int:
    """How many tensors are not equal to the bit."""
    return sum(not torch.equal(value, other[name]) for name, value in one.items())

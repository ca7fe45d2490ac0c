"""The training loop: batches, optimiser, schedule, validation, and everything a checkpoint must carry."""

import contextlib
import math
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from pipeline.common.sections import Loop
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.training.batches import Batches
from pipeline.training.data_parallel import SharedDraws
from pipeline.training.task import Draws, Task
from telucodec.networks import distributed

FINAL_RATE = 0.02  # learning rate at the end of the schedule, as a share of the highest
NORM = "grad_norm"  # beside the loss terms

Report = Callable[[dict[str, float]], None]  # receives all figures of a finished epoch


class Run:
    """One training run in one process.

    Args:
        settings: how to train.
        task: the model and its loss; it and all random draws after it depend on the seed set before.
        batches: what to train on.
        random: source of the draws of a step.
        validation: a split.
        device: where the model is.

    Raises:
        StageError: the batch cannot be divided among the processes.
    """

    def __init__(
        self,
        settings: Loop,
        task: Task[Any],
        batches: Batches,
        random: np.random.Generator,
        validation: Shards,
        device: torch.device,
    ):
        if settings.batch % distributed.ranks():
            raise StageError(f"a batch of {settings.batch} cannot be divided among {distributed.ranks()} processes")
        self.settings, self.task, self.batches, self.validation = settings, task, batches, validation
        self.random, self.device = random, device
        self.optimizer = torch.optim.AdamW(
            task.model.parameters(),
            settings.learning_rate,
            betas=(0.8, 0.99),
            weight_decay=settings.weight_decay,
            fused=device.type == "cuda",
        )
        self.step: Callable[[Tensor, Draws], dict[str, Tensor]] = task.step
        self.draws: Draws = SharedDraws(random) if distributed.ranks() > 1 else random
        self.history: list[dict[str, float]] = []  # one row per epoch; row 0 is the state before the first step
        self.statistics: list[dict[str, float]] = []
        self.speed: list[dict[str, float]] = []  # separate from history, which is reproducible
        self.seconds = 0.0

    @property
    def epoch(self) -> int:
        """The number of finished epochs, -1 before the first validation."""
        return len(self.history) - 1

    @property
    def finished(self) -> bool:
        out_of_time = self.settings.minutes is not None and self.seconds >= self.settings.minutes * 60
        return self.epoch >= self.settings.epochs or out_of_time

    def train(self, state: dict[str, Any] | None, report: Report) -> None:
        """Train until the epochs or the minutes are used up.

        Args:
            state: of a checkpoint to continue from; None: start.
            report: called after every epoch.
        """
        quiet = distributed.rank() > 0
        if state:
            self.resume(state)
            if not quiet:
                print(f"continuing after epoch {self.epoch} of {self.settings.epochs}", flush=True)
        if self.settings.compile:
            self.task.compile()
        total = self.settings.epochs * self.settings.steps_per_epoch
        done = max(self.epoch, 0) * self.settings.steps_per_epoch
        with tqdm(total=total, initial=done, unit="step", desc="train", file=sys.stderr, disable=quiet or None) as bar:
            if not state:
                bar.set_postfix_str("initialising")
                self.start(report)
            if distributed.ranks() > 1:
                self.step = _parallel(self.task)
            while not self.finished:
                self._epoch(report, bar)
            self.task.finish(self.batches)

    def start(self, report: Report = lambda figures: None) -> None:
        """Initialise the model from speech and measure it: epoch 0."""
        began = time.monotonic()
        self.task.start(self.batches)
        self._close_epoch({}, report, began)

    def _epoch(self, report: Report, bar: tqdm) -> None:
        began = time.monotonic()
        terms = self.steps(self.settings.steps_per_epoch, bar)
        means = {f"train_{name}": sum(values) / len(values) for name, values in terms.items()}
        self._close_epoch(means, report, began)
        bar.set_postfix_str(self.task.headline(self.history[-1]))

    def steps(self, count: int, bar: tqdm | None = None) -> dict[str, list[float]]:
        """Train for the first `count` steps of the next epoch.

        All values are read after the last step, because a GPU would have to be waited for.

        Returns:
            Each loss term and the norm of the gradient, by step. A term may appear in the middle.

        Raises:
            StageError: a term was not finite.
        """
        began = time.monotonic()
        self.task.model.train()
        rows: list[dict[str, Tensor]] = []
        for step in range(count):
            rows.append(self._step(step, self.batches.share(self.settings.batch), time.monotonic() - began))
            if bar is not None:
                bar.update()
        values = iter(torch.stack([value for row in rows for value in row.values()]).tolist() if rows else ())
        terms: dict[str, list[float]] = {}
        for number, names in enumerate(rows, 1):
            row = {name: next(values) for name in names}
            if not all(math.isfinite(value) for name, value in row.items() if name != NORM):
                raise StageError(_not_finite(self.epoch + 1, number, row))
            for name, value in row.items():
                terms.setdefault(name, []).append(value)
        return terms

    def _step(self, step: int, audio: Tensor, elapsed: float) -> dict[str, Tensor]:
        self._set_learning_rate(step, elapsed)
        with self._autocast():
            terms = self.step(audio, self.draws)
        means = distributed.mean(torch.stack([value.detach().double() for value in terms.values()]))
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.task.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        return {**dict(zip(terms, means, strict=True)), NORM: norm.double()}

    def _autocast(self) -> contextlib.AbstractContextManager[None]:
        precision = self.settings.precision
        half = precision == "bfloat16" or (precision == "auto" and self.device.type == "cuda")
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half)

    def _close_epoch(self, means: dict[str, float], report: Report, began: float) -> None:
        """Validate, record and report an epoch.

        Raises:
            StageError: the model is beyond repair. No checkpoint of this epoch is written.
        """
        trained_seconds = time.monotonic() - began
        statistics = self.task.epoch_statistics()
        row = {"epoch": self.epoch + 1, **self.task.validate(self.validation), **means}
        self.history.append(row)
        self.statistics.append({"epoch": self.epoch, **statistics})
        speed = {}
        if means:
            audio_seconds = self.settings.steps_per_epoch * self.settings.batch * self.settings.crop_seconds
            speed = {"audio_seconds_per_second": audio_seconds / trained_seconds}
            self.speed.append({"epoch": self.epoch, **speed})
        self.seconds += distributed.first(time.monotonic() - began)
        self.task.refuse(statistics, self.epoch)
        report({**row, **statistics, **speed})

    def _set_learning_rate(self, step: int, elapsed: float) -> None:
        """Linear warm-up, then a cosine over the epochs or the minutes, whichever end first."""
        done = self.epoch * self.settings.steps_per_epoch + step
        progress = done / (self.settings.epochs * self.settings.steps_per_epoch)
        if self.settings.minutes is not None:
            elapsed = distributed.first(elapsed)  # one clock for all ranks, or their schedules would differ
            progress = min(max(progress, (self.seconds + elapsed) / (self.settings.minutes * 60)), 1.0)
        warmup = min(1.0, (done + 1) / (self.settings.warmup_steps + 1))
        factor = warmup * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))
        self.task.progress = progress
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "model": self.task.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "task": self.task.state(),
            "torch_random": torch.get_rng_state(),
            "numpy_random": [each.bit_generator.state for each in (self.random, self.batches.random)],
            "history": self.history,
            "statistics": self.statistics,
            "speed": self.speed,
            "seconds": self.seconds,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: what `state` returned."""
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.task.restore(state["task"])
        torch.set_rng_state(state["torch_random"])
        for each, values in zip((self.random, self.batches.random), state["numpy_random"], strict=True):
            each.bit_generator.state = values
        self.history, self.statistics, self.speed = state["history"], state["statistics"], state["speed"]
        self.seconds = state["seconds"]


class Step(nn.Module):
    """A training step as a module: DistributedDataParallel synchronises what its `forward` uses."""

    def __init__(self, task: Task[Any]):
        super().__init__()
        self.model, self._step = task.model, task.step

    def forward(self, audio: Tensor, random: Draws) -> dict[str, Tensor]:
        return self._step(audio, random)


def _parallel(task: Task[Any]) -> DistributedDataParallel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # older versions lack the new name of the setting
        return DistributedDataParallel(Step(task), broadcast_buffers=False)  # all ranks update the buffers equally


def _not_finite(epoch: int, step: int, values: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return (
        f"the loss is not finite in epoch {epoch}, step {step} ({parts}). Check train.learning_rate, train.grad_clip, "
        "train.precision and `faults`. The checkpoint of the last finished epoch is kept."
    )

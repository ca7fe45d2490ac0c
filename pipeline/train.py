"""Stage `train`: fit a model to the training shards: `python -m pipeline.train tokens` or `... waveform`.

A run is decided by params.yaml, the shards, the code and the number of threads; with those equal its weights are equal to
the bit, also when it was killed and continued. `TELUCODEC_FRESH=1 dvc repro -f train` starts over.
"""

import math
import os
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from codec import distributed
from pipeline import files, origins, ranks, stage, tracking
from pipeline.checkpoints import Checkpoints
from pipeline.sections import Params
from pipeline.shards import Shards
from pipeline.stage import StageError
from pipeline.tasks import Task, task

Report = Callable[[dict[str, float]], None]  # takes all figures of an epoch that has ended


def main(params: Params, model: str) -> None:
    ranks.run(params.loop(model).processes, fit, params, model)


def fit(params: Params, model: str) -> None:
    """Train in this process, alone or as one of several ranks, of which the first keeps the files and the tracker."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.set_flush_denormal(True)  # numbers too small to matter take a processor many times longer
    try:
        _fit(params, model)
    finally:
        torch.set_flush_denormal(False)


def _fit(params: Params, model: str) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("high")  # TF32 on CUDA, no change on a CPU
    training, validation = Shards(files.SHARDS / "train"), Shards(files.SHARDS / "validation")
    data = [files.SHARDS / split / "index.jsonl" for split in ("train", "validation")]
    run = Run(params, model, training, validation)
    if (start := origins.folder(params.loop(model), model)) is not None:
        data += sorted(start.glob("*.safetensors"))
    if distributed.rank() > 0:
        run.train(distributed.first(), report=lambda figures: None)
        return
    decides = params.model_dump(include={"preprocess", *run.task.sections})
    checkpoints = Checkpoints(model, decides, data)
    with tracking.start(params.tracking, {"task": model, **decides}, checkpoints.folder) as tracker:

        def report(figures: dict[str, float]) -> None:
            checkpoints.save(run.state())
            tracker.log(figures, run.epoch)
            speed = figures.get("audio_seconds_per_second")
            rate = "" if speed is None else f"  {speed:.0f} audio-s/s"
            tqdm.write(f"epoch {run.epoch:3d}  {run.task.headline(figures)}{rate}", file=sys.stdout)

        run.train(distributed.first(checkpoints.load()), report)
    write_results(run)


class Run:
    """One training run: everything that a checkpoint must carry, and the loop."""

    def __init__(self, params: Params, model: str, training: Shards, validation: Shards):
        self.settings = loop = params.loop(model)
        if loop.batch % distributed.ranks():
            raise StageError(
                f"a batch of {loop.batch} cannot be shared out equally among {distributed.ranks()} processes"
            )
        torch.set_num_threads(loop.threads)
        self.training, self.validation = training, validation
        self.device = _device(loop.device)
        self.autocast = _autocast(loop.precision, self.device)
        torch.manual_seed(loop.seed)
        self.random = np.random.default_rng(loop.seed)
        self.crop_samples = round(loop.crop_seconds * params.preprocess.sample_rate)
        self.task: Task = task(model, params, self.device)
        self.optimizer = torch.optim.AdamW(
            self.task.model.parameters(), loop.learning_rate, betas=(0.8, 0.99), weight_decay=loop.weight_decay
        )
        self.step: Callable[..., dict[str, Tensor]] = self.task.step
        self.draws = self.random
        if distributed.ranks() > 1:
            self.draws = ranks.SharedDraws(self.random)
        self.history: list[dict[str, float]] = []  # a row an epoch; row 0 is the state before the first step
        self.statistics: list[dict[str, float]] = []
        self.speed: list[dict[str, float]] = []  # apart from history, so that history is reproducible
        self.seconds = 0.0

    @property
    def epoch(self) -> int:
        return len(self.history) - 1

    @property
    def finished(self) -> bool:
        out_of_time = self.settings.minutes is not None and self.seconds >= self.settings.minutes * 60
        return self.epoch >= self.settings.epochs or out_of_time

    def train(self, state: dict | None, report: Report) -> None:
        """Continue from a checkpoint's state, or start; ends when the epochs or the minutes are used up."""
        quiet = distributed.rank() > 0
        if state:
            self._restore(state)
            if not quiet:
                print(f"continuing after epoch {self.epoch} of {self.settings.epochs}", flush=True)
        if self.settings.compile:
            self.task.compile()
        total = self.settings.epochs * self.settings.steps_per_epoch
        done = max(self.epoch, 0) * self.settings.steps_per_epoch
        with tqdm(total=total, initial=done, unit="step", desc="train", file=sys.stderr, disable=quiet or None) as bar:
            if not state:
                bar.set_postfix_str("starting point")
                began = time.monotonic()
                self.task.start(self.crops)
                self._close_epoch({}, report, began)
            if distributed.ranks() > 1:
                self.step = _parallel(self.task)
            while not self.finished:
                self._epoch(report, bar)
            self.task.finish(self.crops)

    def _epoch(self, report: Report, bar: tqdm) -> None:
        began = time.monotonic()
        self.task.model.train()
        seen: dict[str, list[float]] = {}  # a term may come in on the way
        for step in range(self.settings.steps_per_epoch):
            values = self._step(step, time.monotonic() - began)
            for name, value in values.items():
                seen.setdefault(name, []).append(value)
            bar.update()
        trained = {f"train_{name}": sum(values) / len(values) for name, values in seen.items()}
        self._close_epoch(trained, report, began)
        bar.set_postfix_str(self.task.headline(self.history[-1]))

    def _step(self, step: int, elapsed: float) -> dict[str, float]:
        self._set_learning_rate(step, elapsed)
        audio = distributed.share(self.crops(self.settings.batch))
        with self.autocast():
            terms = self.step(audio, self.draws)
        means = distributed.mean(torch.stack([value.detach().double() for value in terms.values()]))
        values = dict(zip(terms, means.tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            raise StageError(_not_finite(self.epoch + 1, step + 1, values))
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.task.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        return {**values, "grad_norm": float(norm)}

    def _close_epoch(self, trained: dict[str, float], report: Report, began: float) -> None:
        """Validate, record, report; or raise StageError, before a checkpoint, if the model is beyond repair."""
        trained_seconds = time.monotonic() - began
        statistics = self.task.epoch_statistics()
        row = {"epoch": self.epoch + 1, **self.task.validate(self.validation), **trained}
        self.history.append(row)
        self.statistics.append({"epoch": self.epoch, **statistics})
        speed = {}
        if trained:
            audio_seconds = self.settings.steps_per_epoch * self.settings.batch * self.settings.crop_seconds
            speed = {"audio_seconds_per_second": audio_seconds / trained_seconds}
            self.speed.append({"epoch": self.epoch, **speed})
        self.seconds += distributed.first(time.monotonic() - began)
        self.task.refuse(statistics, self.epoch)
        report({**row, **statistics, **speed})

    def crops(self, count: int) -> Tensor:
        """Random training crops [count, samples] at random levels."""
        audio = self.training.crops(self.random, count, self.crop_samples)
        gain = 10 ** (self.random.uniform(*self.settings.gain_db, size=(count, 1)) / 20)
        return torch.from_numpy((audio * gain).astype(np.float32)).to(self.device, non_blocking=True)

    def _set_learning_rate(self, step: int, elapsed: float) -> None:
        """Linear warm-up, then a cosine down to 2 % over the epochs or the minutes, whichever pass faster."""
        done = self.epoch * self.settings.steps_per_epoch + step
        progress = done / (self.settings.epochs * self.settings.steps_per_epoch)
        if self.settings.minutes is not None:
            elapsed = distributed.first(elapsed)  # one clock, or the ranks would part
            progress = min(max(progress, (self.seconds + elapsed) / (self.settings.minutes * 60)), 1.0)
        warmup = min(1.0, (done + 1) / (self.settings.warmup_steps + 1))
        factor = warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        self.task.progress = progress
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def state(self) -> dict:
        """What a checkpoint holds."""
        return {
            "model": self.task.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "task": self.task.state(),
            "torch_random": torch.get_rng_state(),
            "numpy_random": self.random.bit_generator.state,
            "history": self.history,
            "statistics": self.statistics,
            "speed": self.speed,
            "seconds": self.seconds,
        }

    def _restore(self, state: dict) -> None:
        self.task.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.task.restore(state["task"])
        torch.set_rng_state(state["torch_random"])
        self.random.bit_generator.state = state["numpy_random"]
        self.history, self.statistics, self.speed = state["history"], state["statistics"], state["speed"]
        self.seconds = state["seconds"]


class Step(nn.Module):
    """A training step as a module, so that DistributedDataParallel sees all of it."""

    def __init__(self, task: Task):
        super().__init__()
        self.model, self.forward = task.model, task.step


def _parallel(task: Task) -> DistributedDataParallel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the new name of the setting is not in older versions
        return DistributedDataParallel(Step(task), broadcast_buffers=False)  # they move alike in all ranks


def write_results(run: Run) -> None:
    """The stage's outputs: weights and configuration, metrics, curves."""
    name = run.task.name
    origin = origins.identity(run.settings, name)
    with files.whole_folder(files.MODELS / name) as folder:
        run.task.save(folder)
    files.write_json(
        files.METRICS / name / "train.json",
        {
            "epochs": run.epoch,
            **run.task.summary(run.history[0], run.history[-1]),
            **({} if origin is None else {"start_from": origin}),
            "parameters": sum(weight.numel() for weight in run.task.model.parameters()),
            "threads": run.settings.threads,
        },
    )
    plots = files.PLOTS / name
    files.write_csv(plots / "history.csv", run.history, columns=list(run.history[-1]))
    files.write_csv(plots / "statistics.csv", run.statistics, columns=list(run.statistics[-1]))
    files.write_csv(plots / "speed.csv", run.speed, columns=["epoch", "audio_seconds_per_second"])


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise StageError("train.device is cuda, but PyTorch sees no CUDA device here; use -S train.device=auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number = ranks.local_rank()
    if number >= torch.cuda.device_count():
        raise StageError(
            f"process {number + 1} finds no GPU: there are {torch.cuda.device_count()}; lower train.processes"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _autocast(precision: str, device: torch.device):
    half = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)


def _not_finite(epoch: int, step: int, values: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return (
        f"the loss is not finite in epoch {epoch}, step {step} ({parts}). Look at train.learning_rate, train.grad_clip, "
        "train.precision, loss.stft_dtype, quantizer.loss_clamp and quantizer.init_scale; the last finished epoch is kept."
    )


if __name__ == "__main__":
    stage.run(main, sys.argv[1])

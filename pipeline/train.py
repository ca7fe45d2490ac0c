"""Stage `train`: fit a model to the training shards: `python -m pipeline.train tokens` or `... waveform`.

A run is decided by params.yaml, the shards, the code and the number of threads; with those equal its weights are equal to
the bit, also when it was killed and continued. `TELUCODEC_FRESH=1 dvc repro -f train` starts over.
"""

import math
import os
import sys
import time

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline import files, stage, tracking
from pipeline.checkpoints import Checkpoints
from pipeline.params import Params
from pipeline.shards import Shards
from pipeline.stage import StageError
from pipeline.tasks import Task, task


def main(params: Params, model: str) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("high")  # TF32 on CUDA, no change on a CPU
    training, validation = Shards(files.SHARDS / "train"), Shards(files.SHARDS / "validation")
    indices = [files.SHARDS / split / "index.jsonl" for split in ("train", "validation")]
    run = Run(params, model, training, validation)
    decides = params.model_dump(include={"preprocess", *run.task.sections})
    checkpoints = Checkpoints(model, decides, indices)
    with tracking.start(params.tracking, {"task": model, **decides}, checkpoints.folder) as tracker:
        run.train(checkpoints, tracker)
    write_results(run)


class Run:
    """One training run: everything that a checkpoint must carry, and the loop."""

    def __init__(self, params: Params, model: str, training: Shards, validation: Shards):
        self.settings = loop = params.loop(model)
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

    def train(self, checkpoints: Checkpoints, tracker: tracking.Run) -> None:
        """Continue from the last checkpoint, or start; ends when the epochs or the minutes are used up."""
        state = checkpoints.load(self.device)
        if state:
            self._restore(state)
            print(f"continuing after epoch {self.epoch} of {self.settings.epochs}", flush=True)
        if self.settings.compile:
            self.task.compile()
        total = self.settings.epochs * self.settings.steps_per_epoch
        done = max(self.epoch, 0) * self.settings.steps_per_epoch
        with tqdm(total=total, initial=done, unit="step", desc="train", file=sys.stderr, disable=None) as bar:
            if not state:
                bar.set_postfix_str("starting point")
                began = time.monotonic()
                self.task.start(self.crops)
                self._close_epoch({}, checkpoints, tracker, began)
            while not self.finished:
                self._epoch(checkpoints, tracker, bar)
            self.task.finish(self.crops)

    def _epoch(self, checkpoints: Checkpoints, tracker: tracking.Run, bar: tqdm) -> None:
        began = time.monotonic()
        self.task.model.train()
        sums: dict[str, float] = {}
        for step in range(self.settings.steps_per_epoch):
            values = self._step(step, time.monotonic() - began)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            bar.update()
        trained = {f"train_{name}": value / self.settings.steps_per_epoch for name, value in sums.items()}
        self._close_epoch(trained, checkpoints, tracker, began)
        bar.set_postfix_str(self.task.headline(self.history[-1]))

    def _step(self, step: int, elapsed: float) -> dict[str, float]:
        self._set_learning_rate(step, elapsed)
        audio = self.crops(self.settings.batch)
        with self.autocast():
            terms = self.task.step(audio, self.random)
        values = {name: float(value.detach()) for name, value in terms.items()}
        if not all(map(math.isfinite, values.values())):
            raise StageError(_not_finite(self.epoch + 1, step + 1, values))
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.task.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        return {**values, "grad_norm": float(norm)}

    def _close_epoch(
        self, trained: dict[str, float], checkpoints: Checkpoints, tracker: tracking.Run, began: float
    ) -> None:
        """Validate, record, checkpoint; raise StageError if the model is beyond repair."""
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
        self.seconds += time.monotonic() - began
        checkpoints.save(self._state())
        tracker.log({**row, **statistics, **speed}, self.epoch)
        rate = "".join(f"  {value:.0f} audio-s/s" for value in speed.values())
        tqdm.write(f"epoch {self.epoch:3d}  {self.task.headline(row)}{rate}", file=sys.stdout)
        self.task.refuse(statistics, self.epoch)

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
            progress = min(max(progress, (self.seconds + elapsed) / (self.settings.minutes * 60)), 1.0)
        warmup = min(1.0, (done + 1) / (self.settings.warmup_steps + 1))
        factor = warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * factor

    def _state(self) -> dict:
        return {
            "model": self.task.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
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
        torch.set_rng_state(state["torch_random"].cpu())
        self.random.bit_generator.state = state["numpy_random"]
        self.history, self.statistics, self.speed = state["history"], state["statistics"], state["speed"]
        self.seconds = state["seconds"]


def write_results(run: Run) -> None:
    """The stage's outputs: weights and configuration, metrics, curves."""
    name = run.task.name
    with files.whole_folder(files.MODELS / name) as folder:
        run.task.save(folder)
    files.write_json(
        files.METRICS / name / "train.json",
        {
            "epochs": run.epoch,
            **run.task.summary(run.history[0], run.history[-1]),
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
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


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

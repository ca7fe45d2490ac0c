"""Stage `train`: fit the token codec to the training shards.

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

from codec.losses import CodecLoss, LossConfig
from codec.quantizer import QuantizerConfig
from codec.tokens import TokenCodec, TokenConfig
from pipeline import files, stage, tracking
from pipeline.checkpoints import Checkpoints
from pipeline.params import Params
from pipeline.shards import Shards
from pipeline.stage import StageError
from pipeline.validation import codebook_use, validate

FIT_FRAMES_PER_CODEWORD = 20  # latents for the k-means start


def main(params: Params) -> None:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.set_num_threads(params.train.threads)
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("high")  # TF32 on CUDA, no change on a CPU
    training, validation = Shards(files.SHARDS / "train"), Shards(files.SHARDS / "validation")
    checkpoints = Checkpoints(params, [files.SHARDS / split / "index.jsonl" for split in ("train", "validation")])
    run = Run(params, training, validation, checkpoints)
    with tracking.start(params.tracking, params.model_dump(exclude={"presets"}), checkpoints.folder) as tracker:
        run.train(tracker)
    write_results(run, params)


class Run:
    """One training run: everything that a checkpoint must carry, and the loop."""

    def __init__(self, params: Params, training: Shards, validation: Shards, checkpoints: Checkpoints):
        self.params, self.settings = params, params.train
        self.training, self.validation, self.checkpoints = training, validation, checkpoints
        self.device = _device(self.settings.device)
        self.autocast = _autocast(self.settings.precision, self.device)
        torch.manual_seed(self.settings.seed)
        self.random = np.random.default_rng(self.settings.seed)
        self.model = TokenCodec(token_config(params)).to(self.device)
        self.loss = CodecLoss(LossConfig(**params.loss.model_dump())).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            self.settings.learning_rate,
            betas=(0.8, 0.99),
            weight_decay=self.settings.weight_decay,
        )
        self.history: list[dict[str, float]] = []  # a row an epoch; row 0 is the state before the first step
        self.speed: list[dict[str, float]] = []  # apart from history, so that history is reproducible
        self.codebooks: list[dict[str, float]] = []
        self.seconds = 0.0

    @property
    def epoch(self) -> int:
        return len(self.history) - 1

    @property
    def finished(self) -> bool:
        out_of_time = self.settings.minutes is not None and self.seconds >= self.settings.minutes * 60
        return self.epoch >= self.settings.epochs or out_of_time

    def train(self, tracker: tracking.Run) -> None:
        """Continue from the last checkpoint, or start; ends when the epochs or the minutes are used up."""
        state = self.checkpoints.load(self.device)
        if state:
            self._restore(state)
            print(f"continuing after epoch {self.epoch} of {self.settings.epochs}", flush=True)
        if self.settings.compile:
            self.model.encoder.compile()
            self.model.decoder.compile()
        total = self.settings.epochs * self.settings.steps_per_epoch
        done = max(self.epoch, 0) * self.settings.steps_per_epoch
        with tqdm(total=total, initial=done, unit="step", desc="train", file=sys.stderr, disable=None) as bar:
            if not state:
                bar.set_postfix_str("fitting PCA and codebooks")
                self._start(tracker)
            while not self.finished:
                self._epoch(tracker, bar)

    def _start(self, tracker: tracking.Run) -> None:
        began = time.monotonic()
        frames_per_crop = self.model.mdct.frames(self._crop_samples)
        audio = self._crops(math.ceil(FIT_FRAMES_PER_CODEWORD * self.params.quantizer.size / frames_per_crop))
        self.model.fit(audio)
        with torch.no_grad():
            codes = self.model.eval()(audio[: max(1, len(audio) // 4)]).codes
        self._close_epoch({}, codebook_use(self._counts(codes)), tracker, began)

    def _epoch(self, tracker: tracking.Run, bar: tqdm) -> None:
        began = time.monotonic()
        self.model.train()
        sums: dict[str, float] = {}
        counts = torch.zeros((), dtype=torch.int64)
        for step in range(self.settings.steps_per_epoch):
            values, codes = self._step(step, time.monotonic() - began)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            counts = counts + self._counts(codes)
            bar.update()
        trained = {f"train_{name}": value / self.settings.steps_per_epoch for name, value in sums.items()}
        row = self._close_epoch(trained, codebook_use(counts), tracker, began)
        bar.set_postfix_str(f"SNR {row[f'snr_{self.params.quantizer.levels}']:.2f} dB")

    def _step(self, step: int, elapsed: float) -> tuple[dict[str, float], Tensor]:
        self._set_learning_rate(step, elapsed)
        audio = self._crops(self.settings.batch)
        with self.autocast():
            output = self.model(audio, self._levels_used())
            terms = self.loss(audio, output.audio, output.vq_loss)
        values = {name: float(value.detach()) for name, value in terms.items()}
        if not all(map(math.isfinite, values.values())):
            raise StageError(_not_finite(self.epoch + 1, step + 1, values))
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.grad_clip)
        self.optimizer.step()
        return {**values, "grad_norm": float(norm)}, output.codes

    def _close_epoch(
        self, trained: dict[str, float], use: dict[str, float], tracker: tracking.Run, began: float
    ) -> dict[str, float]:
        """Validate, record, checkpoint; raise StageError if a codebook has collapsed."""
        trained_seconds = time.monotonic() - began
        row = {"epoch": self.epoch + 1, **validate(self.model, self.loss, self.validation, self.device), **trained}
        self.history.append(row)
        self.codebooks.append({"epoch": self.epoch, **use})
        speed = {}
        if trained:
            audio_seconds = self.settings.steps_per_epoch * self.settings.batch * self.settings.crop_seconds
            speed = {"audio_seconds_per_second": audio_seconds / trained_seconds}
            self.speed.append({"epoch": self.epoch, **speed})
        self.seconds += time.monotonic() - began
        self.checkpoints.save(self._state())
        tracker.log({**row, **use, **speed}, self.epoch)
        tqdm.write(_epoch_line({**row, **speed}, self.params.quantizer.levels), file=sys.stdout)
        _refuse_collapse(use, self.params, self.epoch)
        return row

    def _counts(self, codes: Tensor) -> Tensor:
        """How often each codeword occurs in codes [batch, levels, frames]: [levels, size]."""
        size = self.params.quantizer.size
        return torch.stack([torch.bincount(level, minlength=size) for level in codes.cpu().transpose(0, 1).flatten(1)])

    @property
    def _crop_samples(self) -> int:
        return round(self.settings.crop_seconds * self.params.preprocess.sample_rate)

    def _crops(self, count: int) -> Tensor:
        """Random training crops [count, samples] at random levels."""
        audio = self.training.crops(self.random, count, self._crop_samples)
        gain = 10 ** (self.random.uniform(*self.settings.gain_db, size=(count, 1)) / 20)
        return torch.from_numpy((audio * gain).astype(np.float32)).to(self.device, non_blocking=True)

    def _levels_used(self) -> Tensor:
        """Quantiser dropout (SoundStream, arXiv 2107.03312): a share of the items uses a random number of levels."""
        levels, batch = self.params.quantizer.levels, self.settings.batch
        dropped = self.random.random(batch) < self.params.quantizer.dropout
        used = np.where(dropped, self.random.integers(1, levels + 1, batch), levels)
        return torch.from_numpy(used).to(self.device)

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
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch_random": torch.get_rng_state(),
            "numpy_random": self.random.bit_generator.state,
            "history": self.history,
            "speed": self.speed,
            "codebooks": self.codebooks,
            "seconds": self.seconds,
        }

    def _restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_random"].cpu())
        self.random.bit_generator.state = state["numpy_random"]
        self.history, self.speed, self.codebooks = state["history"], state["speed"], state["codebooks"]
        self.seconds = state["seconds"]


def write_results(run: Run, params: Params) -> None:
    """The stage's outputs: weights and configuration, metrics, curves."""
    with files.whole_folder(files.MODEL) as folder:
        run.model.save(folder)
    start, end = run.history[0], run.history[-1]
    shown = [f"snr_{levels}" for levels in sorted({1, 2, 4, params.quantizer.levels}) if f"snr_{levels}" in end]
    files.write_json(
        files.METRICS / "train.json",
        {
            "epochs": run.epoch,
            "before_training": {name: start[name] for name in shown},
            "after_training": {name: end[name] for name in [*shown, "range_ratio", "rms_ratio", "output_mean", "loss"]},
            "parameters": sum(weight.numel() for weight in run.model.parameters()),
            "threads": params.train.threads,
        },
    )
    files.write_csv(files.PLOTS / "history.csv", run.history, columns=list(end))
    files.write_csv(files.PLOTS / "codebooks.csv", run.codebooks, columns=list(run.codebooks[-1]))
    files.write_csv(files.PLOTS / "speed.csv", run.speed, columns=["epoch", "audio_seconds_per_second"])


def token_config(params: Params) -> TokenConfig:
    quantizer = QuantizerConfig(**params.quantizer.model_dump())
    return TokenConfig(sample_rate=params.preprocess.sample_rate, quantizer=quantizer, **params.model.model_dump())


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise StageError("train.device is cuda, but PyTorch sees no CUDA device here; use -S train.device=auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _autocast(precision: str, device: torch.device):
    half = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)


def _epoch_line(row: dict[str, float], levels: int) -> str:
    rate = f"  {row['audio_seconds_per_second']:.0f} audio-s/s" if "audio_seconds_per_second" in row else ""
    return (
        f"epoch {row['epoch']:3d}  SNR {row[f'snr_{levels}']:6.2f} dB  loss {row['loss']:.4f}  "
        f"range ratio {row['range_ratio']:.3f}{rate}"
    )


def _not_finite(epoch: int, step: int, values: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return (
        f"the loss is not finite in epoch {epoch}, step {step} ({parts}). Look at train.learning_rate, train.grad_clip, "
        "train.precision, loss.stft_dtype, quantizer.loss_clamp and quantizer.init_scale; the last finished epoch is kept."
    )


def _refuse_collapse(use: dict[str, float], params: Params, epoch: int) -> None:
    least = params.train.min_perplexity * params.quantizer.size
    collapsed = {
        level: use[f"perplexity_{level}"]
        for level in range(1, params.quantizer.levels + 1)
        if use[f"perplexity_{level}"] < least
    }
    if collapsed:
        named = ", ".join(f"codebook {level}: {value:.1f}" for level, value in collapsed.items())
        raise StageError(
            f"codebooks collapsed in epoch {epoch}: perplexity below {least:.1f} of {params.quantizer.size} ({named}). "
            "Look at quantizer.init, quantizer.init_scale, quantizer.ema_target, quantizer.dead_code_share and "
            "quantizer.commitment; train.min_perplexity=0 lets the run go on."
        )


if __name__ == "__main__":
    stage.run(main)

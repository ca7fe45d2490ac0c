"""Training the token codec: waveform, spectral and commitment losses; codebooks by k-means and moving averages."""

import math
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import trange

from codec import distributed
from codec.tokens.adversary import Adversary, balanced
from codec.tokens.losses import CodecLoss, LossConfig
from codec.tokens.model import TokenCodec, TokenConfig
from codec.tokens.quantizer import QuantizerConfig, depths
from pipeline import origins
from pipeline.sections import Params
from pipeline.shards import Shards
from pipeline.stage import StageError
from pipeline.tasks import Crops
from pipeline.validation import codebook_use, validate

DISCRIMINATOR = "discriminator.safetensors"  # kept beside the model for whoever trains on
FIT_FRAMES_PER_CODEWORD = 20  # latents for the k-means start
PRIOR_RATE = 2e-3  # learning rate of the prior
HEARD_SECONDS = 480  # of speech, from which the gain of the output and the prices of numbers of levels come
PORTIONS = 10  # in which what takes most memory is computed


class TokenTask:
    """`pipeline.tasks.Task` for `codec.tokens`."""

    name = "tokens"
    sections = "model", "quantizer", "loss", "train"

    def __init__(self, params: Params, device: torch.device):
        self.settings, self.loop, self.device = params.quantizer, params.train, device
        config = token_config(params)
        self.model = TokenCodec(config).to(device)
        self.origin = origins.load(self.loop, self.name, config, _shape)
        self.loss = CodecLoss(LossConfig(**params.loss.model_dump(exclude={"adversarial_weight"}))).to(device)
        self.progress, self.adversarial_weight = 0.0, params.loss.adversarial_weight
        self.adversary = Adversary(device) if self.adversarial_weight else None
        self.model.prior.requires_grad_(False)  # learns last, of a codec that stands still
        self._counts = torch.zeros(params.quantizer.levels, params.quantizer.size, dtype=torch.int64)

    def compile(self) -> None:
        self.model.encoder.compile()
        self.model.decoder.compile()

    def start(self, crops: Crops) -> None:
        frames_per_crop = self.model.mdct.frames(crops(0).shape[1])
        audio = crops(math.ceil(FIT_FRAMES_PER_CODEWORD * self.settings.size / frames_per_crop))
        if self.origin is None:
            self.model.fit(audio)
        else:
            self._go_on()
        with torch.no_grad():
            self._count(self.model.eval()(audio[: max(1, len(audio) // 4)]).codes)

    def _go_on(self) -> None:
        """Take what the run before has learnt; averages of codewords begin anew."""
        self.model.load_state_dict(self.origin.state_dict())
        self.model.quantizer.restart()
        discriminator = origins.folder(self.loop, self.name) / DISCRIMINATOR
        if self.adversary is not None and discriminator.exists():
            try:
                self.adversary.discriminators.load_state_dict(load_file(discriminator))
            except (SafetensorError, RuntimeError) as error:
                raise StageError(
                    f"{discriminator} is none of this version ({error}); remove it to start with a new one"
                ) from None

    def step(self, audio: Tensor, random: np.random.Generator) -> dict[str, Tensor]:
        output = self.model(audio, *self._levels(len(audio), random))
        self._count(output.codes)
        terms = self.loss(audio, output.audio, output.vq_loss)
        if self.adversary is None or self.progress < self.loop.adversarial_after:
            return terms
        terms["discriminator"] = self.adversary.learn(audio, output.audio)
        terms["adversarial"] = self.adversary.judge(audio, output.audio)
        terms["total"] = balanced(terms["total"], terms["adversarial"], self.adversarial_weight, output.audio)
        return terms

    def _levels(self, batch: int, random: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """How many levels each item uses, and in which items that is a mean over frames.

        Quantiser dropout (SoundStream, arXiv 2107.03312): a share of the items uses a random number of levels.
        """
        levels = self.settings.levels
        dropped = random.random(batch) < self.settings.dropout
        used = np.where(dropped, random.integers(1, levels + 1, batch), levels)
        used = torch.from_numpy(used).to(self.device)
        if not self.settings.shared:
            return used, None
        shared = torch.from_numpy(dropped & (random.random(batch) < self.settings.shared))
        return used, shared.to(self.device)

    def _count(self, codes: Tensor) -> None:
        """Add how often each codeword occurs in codes [batch, levels, frames]."""
        size = self.settings.size
        self._counts += torch.stack(
            [torch.bincount(level, minlength=size) for level in codes.cpu().transpose(0, 1).flatten(1)]
        )

    def epoch_statistics(self) -> dict[str, float]:
        use = codebook_use(distributed.total(self._counts))
        self._counts.zero_()
        return use

    def validate(self, shards: Shards) -> dict[str, float]:
        return validate(self.model, self.loss, shards, self.device)

    def headline(self, row: dict[str, float]) -> str:
        return f"SNR {row[f'snr_{self.settings.levels}']:6.2f} dB  range ratio {row['range_ratio']:.3f}"

    def refuse(self, statistics: dict[str, float], epoch: int) -> None:
        """Raises StageError when a codebook has collapsed."""
        least = self.loop.min_perplexity * self.settings.size
        measured = {level: statistics[f"perplexity_{level}"] for level in range(1, self.settings.levels + 1)}
        collapsed = ", ".join(f"codebook {level}: {value:.1f}" for level, value in measured.items() if value < least)
        if collapsed:
            raise StageError(
                f"codebooks collapsed in epoch {epoch}: perplexity below {least:.1f} of {self.settings.size} ({collapsed}). "
                "Look at quantizer.init, quantizer.init_scale, quantizer.ema_target, quantizer.dead_code_share and "
                "quantizer.commitment; train.min_perplexity=0 lets the run go on."
            )

    def finish(self, crops: Crops) -> None:
        """Set the gain of the output, and learn the prices of tokens, from the training speech."""
        self.model.eval()
        prior, codebooks, batch = self.model.prior, self.model.quantizer.codebooks, self.loop.batch
        heard = crops(math.ceil(HEARD_SECONDS / self.loop.crop_seconds))
        self.model.set_gain(heard)
        portions = heard.chunk(PORTIONS)
        with torch.no_grad():
            prior.set_scale(self.model.latents(portions[0]))
        prior.set_depths(torch.cat([self._coded(portion)[1] for portion in portions]))
        prior.requires_grad_(True)
        random = np.random.default_rng(self.loop.seed)
        optimizer = torch.optim.AdamW(prior.parameters(), PRIOR_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.loop.prior_steps, 1))
        quiet = distributed.rank() > 0
        for _ in trange(self.loop.prior_steps, unit="step", desc="prior", file=sys.stderr, disable=quiet or None):
            codes = self._written(crops(batch), random)
            loss = prior(codes, codebooks).sum() / (codes >= 0).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()

    @torch.no_grad()
    def _written(self, audio: Tensor, random: np.random.Generator) -> Tensor:
        """Codes [batch, levels, frames] as files of any rate have them, -1 where a frame uses fewer levels."""
        codes, errors = self._coded(audio)
        used, shared = self._levels(len(audio), random)
        used = used[:, None].expand(errors.shape[:2])
        if shared is not None:
            used = torch.where(shared[:, None], depths(errors, used[:, 0].float()), used)
        return torch.where(torch.arange(codes.shape[1], device=codes.device)[:, None] < used[:, None], codes, -1)

    @torch.no_grad()
    def _coded(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [batch, levels, frames] without a beam, which changes little here, and the errors of their first levels."""
        latents = self.model.latents(audio)
        codes = self.model.quantizer(latents).codes
        return codes, self.model.quantizer.errors(latents, codes)

    def state(self) -> dict:
        return {} if self.adversary is None else self.adversary.state()

    def restore(self, state: dict) -> None:
        if self.adversary is not None:
            self.adversary.restore(state)

    def save(self, folder: Path) -> None:
        self.model.save(folder)
        if self.adversary is not None:
            save_file(self.adversary.discriminators.state_dict(), folder / DISCRIMINATOR)

    def summary(self, start: dict[str, float], end: dict[str, float]) -> dict[str, dict[str, float]]:
        shown = [f"snr_{levels}" for levels in sorted({1, 2, 4, self.settings.levels}) if f"snr_{levels}" in end]
        return {
            "before_training": {name: start[name] for name in shown},
            "after_training": {name: end[name] for name in [*shown, "range_ratio", "rms_ratio", "output_mean", "loss"]},
        }


def token_config(params: Params) -> TokenConfig:
    quantizer = QuantizerConfig(**params.quantizer.model_dump())
    return TokenConfig(sample_rate=params.preprocess.sample_rate, quantizer=quantizer, **params.model.model_dump())


def _shape(config: TokenConfig) -> dict[str, object]:
    """As `pipeline.origins.load` asks for it."""
    values = asdict(config)
    quantizer = values.pop("quantizer")
    model = {f"model.{name}": value for name, value in values.items() if name not in ("sample_rate", "init")}
    return model | {f"quantizer.{name}": quantizer[name] for name in ("levels", "size")}

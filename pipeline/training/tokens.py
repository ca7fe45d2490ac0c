"""Training the token codec: waveform, spectral and commitment losses; codebooks by k-means and moving averages."""

import math
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.common.sections import Params
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.training import start_from
from pipeline.training.batches import Batches
from pipeline.training.task import Draws, Task
from pipeline.training.validation import codebook_use, validate
from telucodec.networks import distributed
from telucodec.networks.tokens.adversary import Adversary, balance
from telucodec.networks.tokens.depths import depths
from telucodec.networks.tokens.losses import CodecLoss, LossConfig
from telucodec.networks.tokens.model import TokenCodec, TokenConfig
from telucodec.networks.tokens.quantizer import QuantizerConfig, sums
from telucodec.networks.tokens.transform import Transform

FIT_FRAMES_PER_CODEWORD = 40  # latents for the k-means start
PRIOR_RATE = 2e-3  # learning rate of the prior
FINISH_SECONDS = 480  # of speech, from which the prices of codebook counts are set
PORTIONS = 10  # the most memory-intensive computation is done in this many parts
HEARD = 2  # the discriminators hear every second item, because they take longer than the codec
SUMMARISED = 1, 2, 4  # numbers of codebooks in the metrics file, besides all


def task(params: Params, device: torch.device) -> Task[TokenCodec]:
    return TokenTask(params, device)


class TokenTask(Task[TokenCodec]):
    """Codes and back, with discriminators in the second phase, and the prior of tokens at the end."""

    name = "tokens"
    adversary: Adversary | None

    def __init__(self, params: Params, device: torch.device):
        self.settings, self.loop, self.device = params.quantizer, params.train, device
        config = token_config(params)
        self.model = TokenCodec(config).to(device)
        self.origin = start_from.load(self.loop, self.name, TokenCodec, config, _shape)
        self.loss = CodecLoss(loss_config(params)).to(device)
        self.adversarial_weight = params.loss.adversarial_weight
        self.adversary = Adversary(device) if self.adversarial_weight else None
        self.model.prior.requires_grad_(False)  # trained last, when the codec no longer changes
        shape = params.quantizer.num_codebooks, params.quantizer.codebook_size
        self._counts = torch.zeros(shape, dtype=torch.int64, device=device)

    def compile(self, backend: str = "inductor") -> None:
        if isinstance(self.model.coding, Transform) and self.model.coding.encoder is not None:
            self.model.coding.encoder.compile(backend=backend)
        self.model.decoder.compile(backend=backend)

    def start(self, batches: Batches) -> None:
        frames_per_crop = self.model.frames(batches.samples)
        crops = math.ceil(FIT_FRAMES_PER_CODEWORD * self.settings.codebook_size / frames_per_crop)
        if self.origin is None:
            self.model.fit(batches.crops(crops))
        else:
            self._continue_from(self.origin)
        self.model.eval()
        for _ in range(math.ceil(crops / 4 / self.loop.batch)):
            self._count(self._coded(batches.crops(self.loop.batch))[0])

    def _continue_from(self, origin: TokenCodec) -> None:
        """Take the weights of an earlier model; the moving averages of codewords start again."""
        self.model.load_state_dict(origin.state_dict())
        self.model.quantizer.restart()
        if self.adversary is not None:
            start_from.recall(self.loop, self.name, self.adversary.load)

    def step(self, audio: Tensor, random: Draws) -> dict[str, Tensor]:
        output = self.model(audio, *self._used_codebooks(len(audio), random))
        self._count(output.codes)
        terms = self.loss(audio, output.audio, output.vq_loss)
        if self.adversary is None or self.progress < self.loop.adversarial_after:
            return terms
        heard = slice(None, None, HEARD)
        judged = self.adversary.judge(audio[heard], output.audio[heard])
        balance(judged.adversarial, self.adversarial_weight, output.audio)
        self.adversary.learn(judged.hinge)
        return terms | {"discriminator": judged.hinge.detach(), "adversarial": judged.adversarial.detach()}

    def _used_codebooks(self, batch: int, random: Draws) -> tuple[Tensor, Tensor | None]:
        """The number of codebooks of each item, and the items in which that number is a mean over frames.

        Quantiser dropout (SoundStream, arXiv 2107.03312): a share of the items uses a random number of codebooks.
        """
        every = self.settings.num_codebooks
        dropped = random.random(batch) < self.settings.dropout
        counts = np.where(dropped, random.integers(1, every + 1, batch), every)
        used = torch.from_numpy(counts).to(self.device)
        if not self.settings.shared:
            return used, None
        shared = torch.from_numpy(dropped & (random.random(batch) < self.settings.shared))
        return used, shared.to(self.device)

    def _count(self, codes: Tensor) -> None:
        """Add how often each codeword occurs in codes [batch, codebooks, frames]."""
        # Not torch.bincount: on a GPU it waits for its result.
        rows = torch.arange(codes.shape[1], device=codes.device)[:, None] * self.settings.codebook_size
        places = (codes.transpose(0, 1).flatten(1) + rows).flatten()
        self._counts.view(-1).index_add_(0, places, torch.ones_like(places))

    def epoch_statistics(self) -> dict[str, float]:
        use = codebook_use(distributed.total(self._counts).cpu())
        self._counts.zero_()
        return use

    def validate(self, shards: Shards) -> dict[str, float]:
        return validate(self.model, self.loss, shards, self.device)

    def headline(self, row: dict[str, float]) -> str:
        return f"SNR {row['snr']:6.2f} dB  range ratio {row['range_ratio']:.3f}"

    def refuse(self, statistics: dict[str, float], epoch: int) -> None:
        size, every = self.settings.codebook_size, self.settings.num_codebooks
        least = self.loop.min_perplexity * size
        perplexities = {number: statistics[f"perplexity_{number}"] for number in range(1, every + 1)}
        collapsed = ", ".join(
            f"codebook {number}: {value:.1f}" for number, value in perplexities.items() if value < least
        )
        if collapsed:
            raise StageError(
                f"codebooks collapsed in epoch {epoch}: perplexity below {least:.1f} of {size} ({collapsed}). Check "
                "quantizer.dead_code_share and the values in faults.quantizer; with train.min_perplexity=0 the run continues."
            )

    def finish(self, batches: Batches) -> None:
        """Train the prior, which tells the range coder how likely each token is."""
        self.model.eval()
        prior, codebooks = self.model.prior, self.model.codebooks
        portion = math.ceil(batches.enough(FINISH_SECONDS / self.loop.crop_seconds) / PORTIONS)
        coded = [self._coded(batches.crops(portion)) for _ in range(PORTIONS)]
        with torch.no_grad():
            prior.set_scale(sums(codebooks, coded[0][0])[-1])
        prior.set_depths(torch.cat([errors for _, errors in coded]))
        prior.requires_grad_(True)
        random = np.random.default_rng(self.loop.seed)
        optimizer = torch.optim.AdamW(prior.parameters(), PRIOR_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.loop.prior_steps, 1))
        quiet = distributed.rank() > 0
        steps = range(self.loop.prior_steps)
        for _ in tqdm(steps, "prior", unit="step", file=sys.stderr, disable=quiet or None):
            codes = self._as_in_files(batches.crops(self.loop.batch), random)
            loss = prior(codes, codebooks).sum() / (codes >= 0).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()

    @torch.no_grad()
    def _as_in_files(self, audio: Tensor, random: Draws) -> Tensor:
        """Codes [batch, codebooks, frames] of crops as in files of any rate, -1 where a frame uses fewer codebooks."""
        codes, errors = self._coded(audio)
        used, shared = self._used_codebooks(len(audio), random)
        used = used[:, None].expand(errors.shape[:2])
        if shared is not None:
            used = torch.where(shared[:, None], depths(errors, used[:, 0].float()), used)
        return torch.where(torch.arange(codes.shape[1], device=codes.device)[:, None] < used[:, None], codes, -1)

    @torch.no_grad()
    def _coded(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [batch, codebooks, frames] and the error after each codebook; without a beam, which changes little here."""
        analysis = self.model.analyse(audio)
        codes = self.model.merged(analysis.own, self.model.quantizer(analysis.latents).codes)
        return codes, self.model.errors(analysis, codes)

    def save(self, folder: Path) -> None:
        self.model.save(folder)
        if self.adversary is not None:
            self.adversary.save(folder)

    def summary(self, start: dict[str, float], end: dict[str, float]) -> dict[str, dict[str, float]]:
        every = self.settings.num_codebooks
        names = [f"snr_{count}" for count in (*SUMMARISED, every) if count <= every]
        return {
            "before_training": {name: start[name] for name in names},
            "after_training": {name: end[name] for name in [*names, "range_ratio", "rms_ratio", "output_mean", "loss"]},
        }


def token_config(params: Params) -> TokenConfig:
    """The configuration of the network."""
    faults = params.faults
    quantizer = QuantizerConfig(**params.quantizer.model_dump(), **faults.quantizer.model_dump())
    model = params.model.model_dump() | faults.model.model_dump()
    return TokenConfig(sample_rate=params.preprocess.sample_rate, quantizer=quantizer, **model)


def loss_config(params: Params) -> LossConfig:
    """The configuration of the loss."""
    return LossConfig(**params.loss.model_dump(exclude={"adversarial_weight"}), **params.faults.loss.model_dump())


def _shape(config: TokenConfig) -> dict[str, object]:
    """The values in which a model to start from must agree, by their keys in params.yaml."""
    values = asdict(config)
    quantizer = values.pop("quantizer")
    activation = values.pop("output_activation")
    model = {f"model.{name}": value for name, value in values.items() if name not in ("sample_rate", "init")}
    codebooks = {f"quantizer.{name}": quantizer[name] for name in ("num_codebooks", "codebook_size")}
    return {**model, "faults.model.output_activation": activation, **codebooks}

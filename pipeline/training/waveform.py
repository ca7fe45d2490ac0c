"""Training the waveform codec: the loss is the number of bits."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.common.sections import Params
from pipeline.common.shards import Shards
from pipeline.training import start_from
from pipeline.training.batches import Batches
from pipeline.training.task import Draws, Task
from telucodec.networks.waveform.context import ContextConfig
from telucodec.networks.waveform.ideal_rate import ideal_rate, measure_centroids, settings_for, shaped_rate
from telucodec.networks.waveform.model import Settings, WaveformCodec, WaveformConfig, guess, quantize
from telucodec.waveform.grids import PRICE

OCTAVES = -5.6, 0.3  # of the step over the clip's RMS: from about 45 dB SNR to 5
SHAPED_OCTAVES = -5.0, 1.5  # the same for steps that follow the envelope, where the level is that RMS
SHAPINGS = 2, 13  # range of their exponent, in 16ths
VALIDATED_SNR = 15, 25, 30, 37  # dB
VALIDATED_SHAPED = 0.0, 8  # octaves and shaping: about 6 kbit/s
CLIPS = 10  # validation clips, evenly spaced over the split
FINISH_SECONDS = 200  # of speech, from which centroids are measured
LEAST_BITS = 0.02  # bits per coefficient; a crop with fewer weighs no more


def task(params: Params, device: torch.device) -> Task[WaveformCodec]:
    return WaveformTask(params, device)


class WaveformTask(Task[WaveformCodec]):
    """Bits of integers and of levels."""

    name = "waveform"

    def __init__(self, params: Params, device: torch.device):
        self.settings, self.loop, self.device = params.waveform.loss, params.waveform.train, device
        config = params.waveform.model
        context = ContextConfig(
            bins=config.hop, **config.model_dump(exclude={"hop"}) | {"dilations": tuple(config.dilations)}
        )
        whole = WaveformConfig(params.preprocess.sample_rate, config.hop, context)
        self.model = WaveformCodec(whole).to(device)
        self.origin = start_from.load(self.loop, self.name, WaveformCodec, whole, _shape)

    def compile(self, backend: str = "inductor") -> None:
        self.model.context.compile(backend=backend)

    def start(self, batches: Batches) -> None:
        # Unlike the token codec it needs no speech to start: it reaches every SNR at once, with many bits.
        if self.origin is not None:
            self.model.load_state_dict(self.origin.state_dict())

    def step(self, audio: Tensor, random: Draws) -> dict[str, Tensor]:
        with torch.no_grad():
            coefficients = self.model.mdct(audio)
            grid = self.model.grid(coefficients, self._random_settings(coefficients, random))
            values = coefficients / grid.steps
            price = torch.from_numpy(random.uniform(0.6, 1.4, (len(audio), 1, 1)).astype(np.float32) * PRICE)
            integers = quantize(values, guess(values), self.model.prices, price.to(self.device))
        coded, levels = self.model(integers, grid)
        each = coded.mean((1, 2)) + levels.sum((1, 2)) / coded[0].numel()
        # Otherwise crops that need many bits would outweigh the others.
        weight = each.detach().clamp(min=LEAST_BITS) ** -self.settings.rate_power
        return {
            "total": (each * weight).mean(),
            "bits_per_coefficient": each.detach().mean(),
            "bits_per_level": (levels.detach().sum() / (levels[0].numel() * grid.shaped.sum().clamp(min=1))),
        }

    def _random_settings(self, coefficients: Tensor, random: Draws) -> Settings:
        """Steps of every size; equal steps for most crops, steps that follow the envelope for the others."""
        count = len(coefficients)
        shaped = random.random(count) < self.settings.shaped_share
        shaping = np.where(shaped, random.integers(*SHAPINGS, count), 0)
        octaves = np.where(shaped, random.uniform(*SHAPED_OCTAVES, count), random.uniform(*OCTAVES, count))
        chosen = (torch.from_numpy(part).to(self.device) for part in (octaves, shaping))
        return settings_for(coefficients, *chosen)

    @torch.no_grad()
    def validate(self, shards: Shards) -> dict[str, float]:
        """Mean kbit/s of an ideal coder at several SNRs."""
        self.model.eval()
        audio = [torch.from_numpy(clip).to(self.device) for clip in shards.audible(CLIPS)]
        return {
            f"kbps_at_{snr}_db": float(np.mean([ideal_rate(self.model, clip, snr) for clip in audio]))
            for snr in VALIDATED_SNR
        } | {"shaped_kbps": float(np.mean([shaped_rate(self.model, clip, *VALIDATED_SHAPED) for clip in audio]))}

    def headline(self, row: dict[str, float]) -> str:
        flat = (f"{row[f'kbps_at_{snr}_db']:.2f} kbps at {snr} dB" for snr in VALIDATED_SNR)
        return "  ".join([*flat, f"{row['shaped_kbps']:.2f} kbps shaped"])

    def finish(self, batches: Batches) -> None:
        measure_centroids(self.model, batches.crops(batches.enough(FINISH_SECONDS / self.loop.crop_seconds)))

    def save(self, folder: Path) -> None:
        self.model.save(folder)

    def summary(self, start: dict[str, float], end: dict[str, float]) -> dict[str, dict[str, float]]:
        shown = [*(f"kbps_at_{snr}_db" for snr in VALIDATED_SNR), "shaped_kbps"]
        return {
            "before_training": {name: start[name] for name in shown},
            "after_training": {name: end[name] for name in shown},
        }


def _shape(config: WaveformConfig) -> dict[str, object]:
    """The values in which a model to start from must agree, by their keys in params.yaml."""
    context = {name: value for name, value in asdict(config.context).items() if name != "bins"}
    return {f"waveform.model.{name}": value for name, value in {"hop": config.hop, **context}.items()}

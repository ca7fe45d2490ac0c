"""Training the enhancer of the waveform codec, which stays as it is: levels of mel bands, some SNR, and a discriminator."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.common import files
from pipeline.common.sections import Params
from pipeline.common.shards import Shards
from pipeline.training import start_from
from pipeline.training.batches import Batches
from pipeline.training.task import Draws, Task
from telucodec.networks.enhancer.decoded import decoded
from telucodec.networks.enhancer.model import Enhancer, EnhancerConfig, Frames
from telucodec.networks.tokens.adversary import Adversary, balance
from telucodec.networks.tokens.losses import negative_snr
from telucodec.networks.tokens.mel import MelDistance
from telucodec.networks.waveform.ideal_rate import settings_for
from telucodec.networks.waveform.model import WaveformCodec
from telucodec.waveform.grids import FULL_SHAPING

OCTAVES = -2.5, 1.0  # of the step over the clip's RMS, where the level is that RMS: from about 16 kbit/s to 4
SHAPINGS = 4, 11  # range of the exponent of the envelope, in 16ths: from perception 0.5 on
VALIDATED_OCTAVES = 0.0  # about 6 kbit/s
CLIPS = 10  # validation clips, evenly spaced over the split
HEARD = 2  # the discriminators hear every second item, because they take longer than the enhancer
DECIBELS = 20 / math.log(10)  # of a neper


def task(params: Params, device: torch.device) -> Task[Enhancer]:
    return EnhancerTask(params, device)


class EnhancerTask(Task[Enhancer]):
    """Speech from packets of every rate, compared with the original by levels and by ear."""

    name = "enhancer"
    adversary: Adversary | None

    def __init__(self, params: Params, device: torch.device):
        self.settings, self.loop, self.device = params.enhancer.loss, params.enhancer.train, device
        self.codec = WaveformCodec.load(files.MODELS / "waveform").to(device)
        config = EnhancerConfig(hop=self.codec.config.hop, **params.enhancer.model.model_dump())
        self.model = Enhancer(config).to(device)
        self.origin = start_from.load(self.loop, self.name, Enhancer, config, _shape)
        self.mel = MelDistance().to(device)
        self.adversary = Adversary(device) if self.settings.adversarial_weight else None

    def compile(self, backend: str = "inductor") -> None:
        self.model.network.compile(backend=backend)

    def start(self, batches: Batches) -> None:
        if self.origin is not None:
            self.model.load_state_dict(self.origin.state_dict())
            if self.adversary is not None:
                start_from.recall(self.loop, self.name, self.adversary.load)

    def step(self, audio: Tensor, random: Draws) -> dict[str, Tensor]:
        count, coefficients = len(audio), self.codec.mdct(audio)
        octaves, shaping = random.uniform(*OCTAVES, count), random.integers(*SHAPINGS, count)
        frames = self._decoded(coefficients, octaves, shaping, random.random((count, *coefficients.shape[1:])))
        output = self._heard(frames, audio.shape[1])
        terms = {"mel": self.mel(audio, output), "snr": negative_snr(audio, output)}
        terms["total"] = terms["mel"] + self.settings.snr_weight * terms["snr"]
        if self.adversary is None or self.progress < self.settings.adversarial_after:
            return terms
        heard = slice(None, None, HEARD)
        judged = self.adversary.judge(audio[heard], output[heard])
        balance(judged.adversarial, self.settings.adversarial_weight, output)
        self.adversary.learn(judged.hinge)
        return terms | {"discriminator": judged.hinge.detach(), "adversarial": judged.adversarial.detach()}

    def _decoded(self, coefficients: Tensor, octaves: np.ndarray, shaping: np.ndarray, random: np.ndarray) -> Frames:
        """Decoded frames; `random` is as large as the coefficients, and evenly distributed from 0 to 1."""
        chosen = settings_for(coefficients, *(torch.from_numpy(part).to(self.device) for part in (octaves, shaping)))
        signs = torch.from_numpy(np.where(random < 0.5, -1, 1).astype(np.float32)).to(self.device)
        return decoded(self.codec, coefficients, chosen, signs)

    def _heard(self, frames: Frames, samples: int) -> Tensor:
        coefficients, _ = self.model(frames, self.model.start(len(frames.steps)))
        return self.codec.mdct.inverse(coefficients, samples)

    @torch.no_grad()
    def validate(self, shards: Shards) -> dict[str, float]:
        """Means over clips at about 6 kbit/s: distance of mel levels in nepers and SNR in dB, enhanced and not."""
        self.model.eval()
        rows = []
        for number, clip in enumerate(shards.audible(CLIPS)):
            audio = torch.from_numpy(clip).to(self.device)[None]
            coefficients = self.codec.mdct(audio)
            random = np.random.default_rng(number).random(tuple(coefficients.shape))
            frames = self._decoded(coefficients, np.array([VALIDATED_OCTAVES]), np.array([FULL_SHAPING]), random)
            plain = self.codec.mdct.inverse(frames.coefficients + frames.noise, audio.shape[1])
            outputs = {"": self._heard(frames, audio.shape[1]), "plain_": plain}
            rows.append({f"{name}mel": float(self.mel(audio, output)) for name, output in outputs.items()})
            rows[-1] |= {
                f"{name}snr": -DECIBELS * float(negative_snr(audio, output)) for name, output in outputs.items()
            }
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def headline(self, row: dict[str, float]) -> str:
        return f"mel {row['mel']:.3f} of {row['plain_mel']:.3f} Np  SNR {row['snr']:.2f} of {row['plain_snr']:.2f} dB"

    def save(self, folder: Path) -> None:
        self.model.save(folder)
        if self.adversary is not None:
            self.adversary.save(folder)

    def summary(self, start: dict[str, float], end: dict[str, float]) -> dict[str, dict[str, float]]:
        shown = "mel", "snr", "plain_mel", "plain_snr"
        return {
            "before_training": {name: start[name] for name in shown},
            "after_training": {name: end[name] for name in shown},
        }


def _shape(config: EnhancerConfig) -> dict[str, object]:
    """The values in which a model to start from must agree, by their keys in params.yaml."""
    return {f"enhancer.model.{name}": value for name, value in asdict(config).items() if name != "hop"}

"""The waveform codec: MDCT coefficients in steps, entropy-coded with a context model. The rate follows the speech."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from codec.exact import activation, restore, stored
from codec.mdct import MDCT
from codec.waveform import entropy
from codec.waveform.context import ContextConfig, ContextModel

STEPS_PER_OCTAVE = 64
LAST_STEP = 16 * STEPS_PER_OCTAVE - 1
KNEES_PER_OCTAVE = 16
PRICE = 0.1  # squared steps that a bit is worth: about the slope of distortion over rate
CENTROID_BITS = 6  # a correction is a multiple of 2^-6 steps
CENTROID_MAGNITUDES = 3  # 1, 2, and 3 or more


@dataclass(frozen=True)
class WaveformConfig:
    """Shape of a waveform codec; params.yaml says what each setting does."""

    sample_rate: int = 16000
    hop: int = 240
    context: ContextConfig = field(default_factory=ContextConfig)


class Settings(NamedTuple):
    """How packets are quantised: integers [batch].

    A coefficient X is coded as an integer near v with v * (1 + |v| / knee) = X / step: steps are equal below the knee and
    grow with the magnitude above it, so that noise follows speech.
    """

    step: Tensor  # 0 to LAST_STEP: the step is 2^(-step / 64)
    knee: Tensor  # 0: none; 1 to 255: at 2^((160 - knee) / 16) steps

    @classmethod
    def of(cls, step: int, knee: int = 0, batch: int = 1) -> "Settings":
        return cls(*(torch.full((batch,), value) for value in (step, knee)))


class WaveformCodec(nn.Module):
    """Transform, quantiser and context model; `codec.packets` writes and reads with it."""

    def __init__(self, config: WaveformConfig):
        super().__init__()
        self.config = config
        self.mdct = MDCT(config.hop)
        self.context = ContextModel(config.context)
        # Saved with the weights, so that no machine's exponential function matters.
        self.register_buffer("frequencies", entropy.frequency_table())
        self.prices = entropy.Prices(self.frequencies)
        self.register_buffer("centroids", torch.zeros(entropy.SCALES, CENTROID_MAGNITUDES, dtype=torch.int32))
        self.register_buffer("_steps", _powers(STEPS_PER_OCTAVE, -LAST_STEP, 0), persistent=False)
        self.register_buffer("_knees", _powers(KNEES_PER_OCTAVE, -95, 160), persistent=False)

    @classmethod
    def load(cls, folder: Path) -> "WaveformCodec":
        """The codec that `save` wrote into `folder`, on the CPU and in evaluation mode."""
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        context = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values["context"].items()
        }
        codec = cls(WaveformConfig(**{**values, "context": ContextConfig(**context)}))
        restore(codec, load_file(folder / "model.safetensors"))
        return codec.eval()

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` (weights as the integers they are) and `config.json` into an existing folder."""
        save_file(stored(self), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=2) + "\n", encoding="utf-8")

    def steps(self, settings: Settings) -> Tensor:
        """Quantiser steps [batch, 1, 1], float64."""
        return self._steps[LAST_STEP - settings.step][:, None, None]

    def _bend(self, settings: Settings) -> Tensor:
        """One over the knee [batch, 1, 1], 0 without one; float64."""
        bend = 1 / self._knees[255 - settings.knee]
        return torch.where(settings.knee > 0, bend, 0.0)[:, None, None]

    def compress(self, coefficients: Tensor, settings: Settings) -> Tensor:
        """Coefficients [batch, frames, bins] to the values v that quantising makes integers."""
        ratio = coefficients / self.steps(settings).to(coefficients.dtype)
        bend = self._bend(settings).to(coefficients.dtype)
        # The stable root of v + bend v^2 = |ratio|; without a knee v is the ratio.
        return 2 * ratio / (1 + torch.sqrt(1 + 4 * bend * ratio.abs()))

    def expand(self, values: Tensor, settings: Settings) -> Tensor:
        """The inverse of `compress`."""
        bend = self._bend(settings).to(values.dtype)
        return values * (1 + bend * values.abs()) * self.steps(settings).to(values.dtype)

    def reconstruct(self, integers: Tensor, kinds: Tensor) -> Tensor:
        """Values [...], float64, that lie in the middle of what was coded as `integers`, given their distributions [...].

        An integer stands for an interval over which the density falls, so its mean lies nearer to zero.
        """
        scale = kinds // entropy.WIDES
        magnitude = integers.abs()
        shift = self.centroids[scale, (magnitude.long() - 1).clamp(0, CENTROID_MAGNITUDES - 1)] * 2.0**-CENTROID_BITS
        return integers.sign() * (magnitude.double() + shift)

    def conditions(self, settings: Settings) -> Tensor:
        """What the context model is told of the settings: [batch, 2] activations."""
        knee = (settings.knee > 0) * (0.5 + settings.knee / 64)
        return activation(torch.stack([settings.step / 256 - 2, knee], 1).float())

    def choose(self, coefficients: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
        """Integers for the coefficients [batch, frames, bins] of packets, and the network's outputs for them.

        All frames at once, for training; `codec.waveform.packets` goes through them in turn and chooses better.
        """
        values, conditions = self.compress(coefficients, settings), self.conditions(settings)
        first = quantize(values, guess(values), self.prices, PRICE)
        given = entropy.kinds(self.context(first.float(), conditions))
        integers = quantize(values, given, self.prices, PRICE).float()
        return integers, self.context(integers, conditions)

    def forward(self, integers: Tensor, settings: Settings) -> Tensor:
        """Ideal code length in bits of every integer of packets [batch, frames, bins], for training."""
        return entropy.bits(integers, self.context(integers, self.conditions(settings)))


def quantize(values: Tensor, kinds: Tensor, prices: entropy.Prices, price: float | Tensor) -> Tensor:
    """The integers that cost least: squared error plus `price` times bits under given distributions [...].

    Of each of values [...] the integers below and above its magnitude and 0 are tried (rate-distortion optimised
    quantisation; what an integer does to the distributions of later ones is not looked at).
    """
    magnitude = values.abs()
    below = magnitude.floor()
    best = torch.zeros_like(values)
    least = magnitude.square() + price * prices(best, kinds)
    for candidate in (below, below + 1):
        cost = (magnitude - candidate).square() + price * prices(candidate, kinds)
        best, least = torch.where(cost < least, candidate, best), torch.minimum(cost, least)
    return values.sign() * best


def guess(values: Tensor) -> Tensor:
    """Rough distributions of values [batch, frames, bins] from their own neighbourhood; needs no network."""
    spread = functional.avg_pool2d(values.abs().float(), (3, 5), stride=1, padding=(1, 2), count_include_pad=False)
    scale = torch.log2(spread / 1.4 + 0.03)
    return entropy.kinds(torch.stack([(scale + 1) / 2, torch.zeros_like(scale)], dim=-1))


def _powers(per_octave: int, low: int, high: int) -> Tensor:
    """2^(n / per_octave) for n from low to high, float64; square roots are exact on every machine, powers are not."""
    root = 2.0
    for _ in range(per_octave.bit_length() - 1):
        root = math.sqrt(root)
    octave = [1.0]
    for _ in range(per_octave - 1):
        octave.append(octave[-1] * root)
    values = [octave[n % per_octave] * 2.0 ** (n // per_octave) for n in range(low, high + 1)]
    return torch.tensor(values, dtype=torch.float64)

"""The waveform codec: MDCT coefficients in quantiser steps, entropy-coded with a context model, at a variable rate."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from telucodec.networks.exact import activation, restore, stored_state
from telucodec.networks.mdct import MDCT
from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.context import ContextConfig, ContextModel
from telucodec.waveform.grids import CENTROID_BITS, CENTROID_MAGNITUDES, KNEES, PRICE, SCALES, STEPS, WIDES


@dataclass(frozen=True)
class WaveformConfig:
    """Shape of a waveform codec; params.yaml documents each setting."""

    sample_rate: int
    hop: int
    context: ContextConfig


class Settings(NamedTuple):
    """How packets are quantised: integers [batch].

    A coefficient X is coded as an integer near the v with v * (1 + |v| / knee) = X / step: steps are equal below the knee
    and grow with the magnitude above it, so that noise follows speech.
    """

    step: Tensor  # 0 to LAST_STEP: the step is 2^(-step / 64)
    knee: Tensor  # 0: none; 1 to 255: at 2^((160 - knee) / 16) steps

    @classmethod
    def of(cls, step: int, knee: int = 0, batch: int = 1) -> "Settings":
        """The same settings for all packets of a batch."""
        return cls(*(torch.full((batch,), value) for value in (step, knee)))


class WaveformCodec(nn.Module):
    """Transform, quantiser and context model. `telucodec.waveform` codes files with them."""

    frequencies: (
        Tensor  # [rows, symbols], int32; saved with the weights, as exponential functions differ between machines
    )
    centroids: Tensor  # [SCALES, CENTROID_MAGNITUDES], int32, in units of 2^-CENTROID_BITS
    _steps: Tensor  # sizes of all steps, float64
    _knees: Tensor  # all knees in steps, float64

    def __init__(self, config: WaveformConfig):
        super().__init__()
        self.config = config
        self.mdct = MDCT(config.hop)
        self.context = ContextModel(config.context)
        self.register_buffer("frequencies", entropy.frequency_table())
        self.prices = entropy.Prices(self.frequencies)
        self.register_buffer("centroids", torch.zeros(SCALES, CENTROID_MAGNITUDES, dtype=torch.int32))
        self.register_buffer("_steps", torch.from_numpy(STEPS.copy()), persistent=False)
        self.register_buffer("_knees", torch.from_numpy(KNEES.copy()), persistent=False)

    @classmethod
    def load(cls, folder: Path) -> "WaveformCodec":
        """Load a codec that `save` wrote, onto the CPU and in evaluation mode."""
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        context: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values["context"].items()
        }
        codec = cls(WaveformConfig(**{**values, "context": ContextConfig(**context)}))
        restore(codec, load_file(folder / "model.safetensors"))
        return codec.eval()

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`, with exact weights as integers, and `config.json` into an existing folder."""
        save_file(stored_state(self), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=2) + "\n", encoding="utf-8")

    def steps(self, settings: Settings) -> Tensor:
        """Quantiser steps [batch, 1, 1], float64."""
        return self._steps[settings.step][:, None, None]

    def _bend(self, settings: Settings) -> Tensor:
        """One over the knee [batch, 1, 1], float64; 0 without a knee."""
        bend = 1 / self._knees[settings.knee]
        return torch.where(settings.knee > 0, bend, 0.0)[:, None, None]

    def compress(self, coefficients: Tensor, settings: Settings) -> Tensor:
        """Coefficients [batch, frames, bins] to the values v that are then quantised to integers."""
        ratio = coefficients / self.steps(settings).to(coefficients.dtype)
        bend = self._bend(settings).to(coefficients.dtype)
        # The stable root of v + bend v^2 = |ratio|; without a knee, v is the ratio.
        return 2 * ratio / (1 + torch.sqrt(1 + 4 * bend * ratio.abs()))

    def expand(self, values: Tensor, settings: Settings) -> Tensor:
        """The inverse of `compress`."""
        bend = self._bend(settings).to(values.dtype)
        return values * (1 + bend * values.abs()) * self.steps(settings).to(values.dtype)

    def reconstruct(self, integers: Tensor, kinds: Tensor) -> Tensor:
        """The mean values [...], float64, of what was coded as `integers`, given their kinds of distribution [...].

        An integer stands for an interval over which the density falls, so its mean lies closer to zero.
        """
        scale = kinds // WIDES
        magnitude = integers.abs()
        shift = self.centroids[scale, (magnitude.long() - 1).clamp(0, CENTROID_MAGNITUDES - 1)] * 2.0**-CENTROID_BITS
        return integers.sign() * (magnitude.double() + shift)

    def conditions(self, settings: Settings) -> Tensor:
        """The settings as inputs of the context model: activations [batch, CONDITIONS]."""
        knee = (settings.knee > 0) * (0.5 + settings.knee / 64)
        return activation(torch.stack([settings.step / 256 - 2, knee], 1).float())

    def choose(self, coefficients: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
        """Integers for the coefficients [batch, frames, bins] of packets, and the network's outputs for them.

        All frames are quantised at once, for training. `telucodec.waveform.packets` goes frame by frame and chooses better.
        """
        values, conditions = self.compress(coefficients, settings), self.conditions(settings)
        first = quantize(values, guess(values), self.prices, PRICE)
        kinds = entropy.kinds(self.context(first.float(), conditions))
        integers = quantize(values, kinds, self.prices, PRICE).float()
        return integers, self.context(integers, conditions)

    def forward(self, integers: Tensor, settings: Settings) -> Tensor:
        """Ideal code length in bits of every integer of packets [batch, frames, bins], for training."""
        return entropy.bits(integers, self.context(integers, self.conditions(settings)))


def quantize(values: Tensor, kinds: Tensor, prices: entropy.Prices, price: float | Tensor) -> Tensor:
    """Rate-distortion optimised quantisation: the integers with the least squared error plus `price` times bits.

    For each of the values [...], the candidates are 0 and the integers just below and above its magnitude. What a choice
    does to the distributions of later integers is ignored.

    Args:
        values: [...].
        kinds: [...], of distribution.
        prices: bits under these distributions.
        price: squared steps that a bit is worth.
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
    """Rough kinds of distribution for values [batch, frames, bins], from their neighbourhood and without the network."""
    spread = functional.avg_pool2d(values.abs().float(), (3, 5), stride=1, padding=(1, 2), count_include_pad=False)
    scale = torch.log2(spread / 1.4 + 0.03)
    return entropy.kinds(torch.stack([(scale + 1) / 2, torch.zeros_like(scale)], dim=-1))

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
from telucodec.networks.waveform.levels import LevelModel
from telucodec.waveform.bands import LEAST, PARTS, interpolation, members
from telucodec.waveform.grids import (
    CENTROID_BITS,
    CENTROID_MAGNITUDES,
    GROUP,
    LAST_STEP,
    LEVEL_UNIT,
    LEVELS,
    PIVOT,
    PRICE,
    SCALES,
    STEPS,
    STEPS_PER_OCTAVE,
    UNITY,
    WIDES,
)


@dataclass(frozen=True)
class WaveformConfig:
    """Shape of a waveform codec; params.yaml documents each setting."""

    sample_rate: int
    hop: int
    context: ContextConfig


class Settings(NamedTuple):
    """How packets are quantised: integers [batch]. See `telucodec.waveform.quantization.Settings`."""

    step: Tensor  # 0 to LAST_STEP: the step is 2^(-step / 64) where the level is PIVOT
    shaping: Tensor  # 0 to LAST_SHAPING: the step is proportional to the envelope to the power shaping / 16

    @classmethod
    def of(cls, step: int, shaping: int = 0, batch: int = 1, device: torch.device | None = None) -> "Settings":
        """The same settings for all packets of a batch."""
        return cls(*(torch.full((batch,), value, device=device) for value in (step, shaping)))


class Grid(NamedTuple):
    """What the frames of packets are quantised with."""

    conditions: Tensor  # [batch, CONDITIONS]: the settings as inputs of the context model
    levels: Tensor  # [batch, groups, BANDS], integers as floats
    shaped: Tensor  # [batch]: whether steps follow the levels
    steps: Tensor  # [batch, frames, bins]
    expected: Tensor  # [batch, frames, bins] activations: the envelope over the steps; 0 where all steps are equal


class WaveformCodec(nn.Module):
    """Transform, quantiser and context model. `telucodec.waveform` codes files with them."""

    frequencies: (
        Tensor  # [rows, symbols], int32; saved with the weights, as exponential functions differ between machines
    )
    centroids: Tensor  # [SCALES, CENTROID_MAGNITUDES], int32, in units of 2^-CENTROID_BITS
    _steps: Tensor  # sizes of all steps, float64
    band_members: Tensor  # [bins, BANDS]: which bins belong to each band
    _parts: Tensor  # [BANDS, bins]: how levels are interpolated

    def __init__(self, config: WaveformConfig):
        super().__init__()
        self.config = config
        self.mdct = MDCT(config.hop)
        self.context = ContextModel(config.context)
        self.levels = LevelModel()
        self.register_buffer("frequencies", entropy.frequency_table())
        self.prices = entropy.Prices(self.frequencies)
        self.register_buffer("centroids", torch.zeros(SCALES, CENTROID_MAGNITUDES, dtype=torch.int32))
        self.register_buffer("_steps", torch.from_numpy(STEPS.copy()), persistent=False)
        self.register_buffer("band_members", torch.from_numpy(members(config.hop)).float(), persistent=False)
        self.register_buffer("_parts", torch.from_numpy(interpolation(config.hop)).float(), persistent=False)

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

    def grid(self, coefficients: Tensor, settings: Settings) -> Grid:
        """The grid for coefficients [batch, frames, bins] of packets, in their precision.

        The numbers are those of `telucodec.waveform.quantization.Scale`, to the bit but for the choice of levels.
        """
        frames, shaped = coefficients.shape[1], settings.shaping > 0
        levels = self._measure(coefficients)
        envelope = torch.round(levels @ self._parts * (LEVEL_UNIT / PARTS))
        envelope = envelope.repeat_interleave(GROUP, dim=1)[:, :frames]
        finer = torch.round((envelope - PIVOT * LEVEL_UNIT) * (settings.shaping / 16)[:, None, None])
        numbers = (settings.step[:, None, None] - finer).clamp(0, LAST_STEP)
        expected = (envelope - UNITY * LEVEL_UNIT + numbers) * (0.375 / STEPS_PER_OCTAVE)
        conditions = activation(torch.stack([settings.step / 256 - 2, settings.shaping / 4], 1).float())
        return Grid(
            conditions,
            levels,
            shaped,
            self._steps[numbers.long()].to(coefficients.dtype),
            activation(expected.float()) * shaped[:, None, None],
        )

    def _measure(self, coefficients: Tensor) -> Tensor:
        """The levels [batch, groups, BANDS] of coefficients [batch, frames, bins]."""
        energy = coefficients.float().square() @ self.band_members
        odd = energy.shape[1] % GROUP
        energy = torch.cat([energy, energy[:, -1:].expand(-1, GROUP - odd, -1)], dim=1) if odd else energy
        mean = energy.unflatten(1, (-1, GROUP)).mean(2) / self.band_members.sum(0)
        octaves = torch.log2(mean.clamp(min=LEAST)) / 2
        return torch.round(octaves * (STEPS_PER_OCTAVE / LEVEL_UNIT) + UNITY).clamp(0, LEVELS - 1)

    def reconstruct(self, integers: Tensor, kinds: Tensor) -> Tensor:
        """The mean values [...], float64, of what was coded as `integers`, given their kinds of distribution [...].

        An integer stands for an interval over which the density falls, so its mean lies closer to zero.
        """
        scale = kinds // WIDES
        magnitude = integers.abs()
        shift = self.centroids[scale, magnitude.long().clamp(max=CENTROID_MAGNITUDES - 1)] * 2.0**-CENTROID_BITS
        return integers.sign() * (magnitude.double() + shift)

    def choose(self, coefficients: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Integers for the coefficients [batch, frames, bins] of packets, and the network's outputs for them.

        All frames are quantised at once, for training. `telucodec.waveform.packets` goes frame by frame and chooses better.
        """
        values = coefficients / grid.steps
        first = quantize(values, guess(values), self.prices, PRICE)
        kinds = entropy.kinds(self.context(first.float(), grid.conditions, grid.expected))
        integers = quantize(values, kinds, self.prices, PRICE).float()
        return integers, self.context(integers, grid.conditions, grid.expected)

    def forward(self, integers: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Ideal code length in bits, for training: of integers [batch, frames, bins], and of levels [batch, groups, BANDS]."""
        bits = entropy.bits(integers, self.context(integers, grid.conditions, grid.expected))
        return bits, self.levels(grid.levels) * grid.shaped[:, None, None]


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

"""The enhancer: a network that makes the decoded coefficients of the waveform codec sound like speech.

It sees what was decoded, the noise that stands for what was coded as zero, and the steps. It scales both, and adds to the noise.
Nothing in it takes part in entropy coding. Post-filters of this kind are as old as CELP; a trained one is NoLACE (Büthe et al.,
arXiv 2309.14521).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from telucodec.networks.tokens.blocks import CausalStack
from telucodec.waveform.grids import ADDED, CODED_OCTAVES, FLOOR_OCTAVES, INPUTS, NOISE_OCTAVES, OCTAVE_INPUT, OUTPUTS


@dataclass(frozen=True)
class EnhancerConfig:
    """Shape of an enhancer; params.yaml documents each setting."""

    hop: int
    channels: int
    layers: int
    kernel: int


class Frames(NamedTuple):
    """Decoded frames [batch, frames, hop]."""

    coefficients: Tensor  # 0 where a coefficient was coded as zero
    noise: Tensor  # in these places
    steps: Tensor


class Enhancer(nn.Module):
    """Decoded frames to better ones; before training they are those with noise."""

    def __init__(self, config: EnhancerConfig):
        super().__init__()
        self.config = config
        self.network = CausalStack(
            INPUTS * config.hop, config.channels, OUTPUTS * config.hop, config.layers, config.kernel, zero_out=True
        )

    @classmethod
    def load(cls, folder: Path) -> "Enhancer":
        """Load an enhancer that `save` wrote, onto the CPU and in evaluation mode."""
        enhancer = cls(EnhancerConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8"))))
        enhancer.load_state_dict(
            {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
        )
        return enhancer.eval()

    def stored_weights(self) -> dict[str, Tensor]:
        """The weights as they are saved: in half precision, which nobody hears."""
        return {name: value.detach().cpu().half().contiguous() for name, value in self.state_dict().items()}

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `config.json` into an existing folder."""
        save_file(self.stored_weights(), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=2) + "\n", encoding="utf-8")

    def start(self, batch: int) -> list[Tensor]:
        """The state before the first frame."""
        return self.network.start(batch)

    def forward(self, frames: Frames, past: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Coefficients [batch, frames, hop], and the state for the next call."""
        inputs = torch.cat([_octaves(part) for part in frames], dim=2)
        outputs, states = self.network(inputs, list(past))
        coded, noise, added = outputs.chunk(OUTPUTS, dim=2)
        scaled = frames.coefficients * torch.exp2(CODED_OCTAVES * torch.tanh(coded))
        filled = frames.noise * torch.exp2(NOISE_OCTAVES * torch.tanh(noise)) + ADDED * frames.steps * torch.tanh(added)
        return torch.where(frames.coefficients == 0, filled, scaled), states


def _octaves(x: Tensor) -> Tensor:
    return torch.log2(x.abs() + 2.0**FLOOR_OCTAVES) * OCTAVE_INPUT + 2

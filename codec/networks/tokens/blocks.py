"""Causal building blocks on sequences of frames [batch, frames, channels]."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class CausalConvNeXt(nn.Module):
    """ConvNeXt block whose depthwise convolution covers the current frame and the `kernel - 1` frames before it.

    Source: Liu et al., "A ConvNet for the 2020s", CVPR 2022; causal as in StreamCodec (arXiv 2504.06561).
    """

    def __init__(self, channels: int, kernel: int, expansion: int = 4):
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.reduce = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """The output [batch, frames, channels], and `past` for the next call.

        Args:
            x: [batch, frames, channels].
            past: [batch, kernel - 1, channels], the frames before.
        """
        line = torch.cat([past, x], dim=1)
        mixed = self.depthwise(line.transpose(1, 2)).transpose(1, 2)
        out = x + self.scale * self.reduce(functional.gelu(self.expand(self.norm(mixed))))
        return out, line[:, x.shape[1] :]


class CausalStack(nn.ModuleList):
    """A linear layer, `layers` causal ConvNeXt blocks and another linear layer.

    With `zero_out`, the output is zero until training changes it.
    """

    def __init__(self, inputs: int, channels: int, outputs: int, layers: int, kernel: int, zero_out: bool):
        last = nn.Linear(channels, outputs)
        if zero_out:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        first = nn.Linear(inputs, channels)
        super().__init__([first, *(CausalConvNeXt(channels, kernel) for _ in range(layers)), last])
        self.layers, self._past = layers, (kernel - 1, channels)

    @torch.no_grad()
    def bias_outputs(self, outputs: slice, value: float) -> None:
        """Set the bias of some outputs."""
        last = self[-1]
        assert isinstance(last, nn.Linear)
        last.bias[outputs] = value

    def start(self, batch: int) -> list[Tensor]:
        """The state of the blocks before the first frame: zeros."""
        like = next(self.parameters())
        return [like.new_zeros(batch, *self._past) for _ in range(self.layers)]

    def forward(self, x: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Frames [batch, frames, inputs] to [batch, frames, outputs], and the state of the blocks for the next call."""
        first, *blocks, last = self
        x, states = first(x), []
        for block, state in zip(blocks, past, strict=True):
            x, state = block(x, state)
            states.append(state)
        return last(x), states

"""Causal building blocks on frame sequences [batch, frames, channels]."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class CausalConvNeXt(nn.Module):
    """ConvNeXt block whose depthwise convolution sees this frame and the `kernel - 1` before it.

    Source: Liu et al., "A ConvNet for the 2020s", CVPR 2022; causal as in StreamCodec (arXiv 2504.06561).
    """

    def __init__(self, channels: int, kernel: int, expansion: int = 4):
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, expansion * channels)
        self.reduce = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))
        self.history = kernel - 1

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """The output for frames x, and what to pass as `past` [batch, kernel - 1, channels] with the frames that follow."""
        seen = torch.cat([past, x], dim=1)
        mixed = self.depthwise(seen.transpose(1, 2)).transpose(1, 2)
        out = x + self.scale * self.reduce(functional.gelu(self.expand(self.norm(mixed))))
        return out, seen[:, x.shape[1] :]


class CausalStack(nn.Sequential):
    """Linear in, `layers` causal ConvNeXt blocks, linear out; with `zero_out` the stack starts by returning zeros."""

    def __init__(self, inputs: int, channels: int, outputs: int, layers: int, kernel: int, zero_out: bool):
        last = nn.Linear(channels, outputs)
        if zero_out:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(inputs, channels), *(CausalConvNeXt(channels, kernel) for _ in range(layers)), last)

    def start(self, batch: int) -> list[Tensor]:
        """What the blocks remember before the first frame: nothing."""
        _, *blocks, last = self
        return [last.weight.new_zeros(batch, block.history, last.in_features) for block in blocks]

    def forward(self, x: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Frames [batch, frames, inputs] to [batch, frames, outputs], and what the blocks remember of them."""
        first, *blocks, last = self
        x, following = first(x), []
        for block, remembered in zip(blocks, past, strict=True):
            x, remembered = block(x, remembered)
            following.append(remembered)
        return last(x), following

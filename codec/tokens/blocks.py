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

    def forward(self, x: Tensor) -> Tensor:
        past = functional.pad(x.transpose(1, 2), (self.history, 0))
        mixed = self.depthwise(past).transpose(1, 2)
        return x + self.scale * self.reduce(functional.gelu(self.expand(self.norm(mixed))))


class CausalStack(nn.Sequential):
    """Linear in, `layers` causal ConvNeXt blocks, linear out; with `zero_out` the stack starts by returning zeros."""

    def __init__(self, inputs: int, channels: int, outputs: int, layers: int, kernel: int, zero_out: bool):
        last = nn.Linear(channels, outputs)
        if zero_out:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        super().__init__(nn.Linear(inputs, channels), *(CausalConvNeXt(channels, kernel) for _ in range(layers)), last)

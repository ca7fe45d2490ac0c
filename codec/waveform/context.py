"""The context model: what has been decoded tells how likely each value of the next coefficient is.

Frames hold integers: MDCT coefficients in quantiser steps. A frame is decoded in three passes over frequency: every fourth
coefficient, those midway between, the odd ones. A causal network over past frames (the trunk) describes the frame to come;
in each pass a small network over frequency (the head) adds what past frames and earlier passes show around a
coefficient. It gives the parameters of a distribution over integers (`codec.waveform.entropy`). Only magnitudes
are looked at: signs of speech are as good as random, even with the pitch period in hand. All arithmetic is exact
(`codec.exact`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from codec.exact import ExactConv, ExactDelays, ExactLinear, activation, on_grid, relu

PASSES = (slice(0, None, 4), slice(2, None, 4), slice(1, None, 2))  # coefficients of each pass
KNOWN = (None, slice(0, None, 4), slice(0, None, 2))  # those that earlier passes have decoded
LARGEST = 2047  # magnitude up to which the network tells integers apart
AGE_LIMIT = 15
RESIDUAL_BITS, RESIDUAL_LIMIT = 8, 2**15  # what runs through the blocks: multiples of 2^-8 up to 2^7


@dataclass(frozen=True)
class ContextConfig:
    """Shape of a context model; params.yaml says what each setting does."""

    bins: int = 240
    channels: int = 256
    expansion: int = 3
    taps: int = 4
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    features: int = 6
    hidden: int = 40


CONDITIONS = 2  # how the packet was quantised
RECENT = 3  # frames whose coefficients the network sees one by one
AROUND = 9  # coefficients of each of them that a head sees, the one in question in the middle


class State(NamedTuple):
    """What the network remembers of a packet: recent frames, each block's past, the number of frames so far."""

    recent: Tensor  # magnitudes [batch, RECENT, bins] as activations, the last frame last
    past: tuple[Tensor, ...]  # [batch, history, channels] of each block
    age: Tensor  # [batch] up to AGE_LIMIT


class Described(NamedTuple):
    """What the trunk tells the heads of `count` frames."""

    passes: tuple[Tensor, ...]  # of each pass [count, bins of the pass, features]
    recent: Tensor  # the frames before each, [count, RECENT, bins]


class Block(nn.Module):
    """Residual block: delays, then two pointwise layers."""

    def __init__(self, channels: int, expansion: int, taps: int, dilation: int):
        super().__init__()
        self.delays = ExactDelays(channels, taps, dilation)
        self.expand = ExactLinear(channels, expansion * channels, gain=1.4)
        self.reduce = ExactLinear(expansion * channels, channels, gain=0.2)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        mixed, past = self.delays(activation(x), past)
        return _residual(x + self.reduce(relu(self.expand(activation(mixed))))), past


def _residual(x: Tensor) -> Tensor:
    return on_grid(x, RESIDUAL_BITS, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)


class Head(nn.Module):
    """The network over frequency for one pass."""

    def __init__(self, config: ContextConfig, number: int, taps: int):
        super().__init__()
        start, _, stride = PASSES[number].indices(config.bins)
        before = AROUND // 2 - start
        after = (len(range(config.bins)[PASSES[number]]) - 1) * stride + AROUND - config.bins - before
        self.described = ExactLinear(config.features, config.hidden, gain=0.7)
        self.recent = ExactConv(RECENT, config.hidden, AROUND, (before, after), stride, gain=0.7)
        self.known = ExactConv(1, config.hidden, taps, (taps // 2 - 1, taps // 2), gain=0.5) if taps else None
        self.middle = ExactLinear(config.hidden, config.hidden, gain=1.4)
        self.last = ExactLinear(config.hidden, 2, gain=0.1)

    def forward(self, described: Tensor, recent: Tensor, known: Tensor | None) -> Tensor:
        """Parameters [count, bins of this pass, 2].

        Args:
            described: [count, bins of this pass, features] by the trunk.
            recent: [count, RECENT, bins], the last frames.
            known: [count, 1, bins of earlier passes], None in the first.
        """
        local = self.recent(recent)
        if self.known is not None:
            local = local + self.known(known)
        hidden = relu(self.described(described) + local.transpose(1, 2))
        return self.last(relu(self.middle(hidden)))


class ContextModel(nn.Module):
    """Frames of integers [batch, frames, bins] to the parameters of every coefficient's distribution."""

    def __init__(self, config: ContextConfig):
        super().__init__()
        self.config = config
        values = torch.arange(LARGEST + 1).double()
        # A table, saved with the weights: no machine's log2 matters.
        self.register_buffer("magnitude", activation(0.375 * torch.log2(values + 0.25)).float())
        self.enter = ExactLinear(RECENT * config.bins + CONDITIONS + 1, config.channels)
        self.blocks = nn.ModuleList(
            Block(config.channels, config.expansion, config.taps, dilation) for dilation in config.dilations
        )
        self.leave = ExactLinear(config.channels, config.bins * config.features)
        self.heads = nn.ModuleList(Head(config, number, taps) for number, taps in enumerate((0, 8, 12)))

    @property
    def pass_sizes(self) -> list[int]:
        return [len(range(self.config.bins)[chosen]) for chosen in PASSES]

    def start(self, batch: int) -> State:
        """The state in which nothing has been decoded."""
        config, like = self.config, self.magnitude
        past = (like.new_zeros(batch, block.delays.history, config.channels) for block in self.blocks)
        return State(like.new_zeros(batch, RECENT, config.bins), tuple(past), like.new_zeros(batch))

    def features(self, values: Tensor) -> Tensor:
        """Integers [...] as the network sees them: their magnitudes on a logarithmic scale, as activations."""
        return self.magnitude[values.abs().clamp(max=LARGEST).long()]

    def trunk(self, state: State, conditions: Tensor, following: Tensor) -> tuple[Described, State]:
        """Describe frames from those before them.

        Args:
            state: what came before the first of them.
            conditions: [batch, CONDITIONS] activations.
            following: features [batch, frames - 1, bins] of all these frames but the last.

        Returns:
            What the heads need of batch * frames frames, and the state after the last of them but for its own features,
            which `push` adds.
        """
        seen = torch.cat([state.recent, following], dim=1)
        batch, frames, bins = len(seen), following.shape[1] + 1, self.config.bins
        before = torch.cat([seen[:, lag : lag + frames] for lag in range(RECENT)], dim=2)
        age = (state.age[:, None] + torch.arange(frames, device=seen.device)).clamp(max=AGE_LIMIT)
        told = torch.cat([conditions[:, None].expand(-1, frames, -1), age[..., None] / 8], dim=2)
        x = _residual(self.enter(torch.cat([before, told], dim=2)))
        past = []
        for block, remembered in zip(self.blocks, state.past, strict=True):
            x, remembered = block(x, remembered)
            past.append(remembered)
        features = activation(self.leave(relu(x))).view(batch * frames, bins, self.config.features)
        described = Described(features.split(self.pass_sizes, dim=1), before.view(batch * frames, RECENT, bins))
        return described, State(seen[:, -RECENT:], tuple(past), age[:, -1] + 1)

    def push(self, state: State, features: Tensor) -> State:
        """The state once the last frame's features [batch, bins] are known."""
        return state._replace(recent=torch.cat([state.recent[:, 1:], features[:, None]], dim=1))

    def head(self, number: int, described: Described, features: Tensor) -> Tensor:
        """Parameters [count, bins of the pass, 2] in pass `number`.

        Args:
            described: count frames, from `trunk`.
            features: [count, bins] of the frames themselves; only coefficients of earlier passes are looked at.
        """
        known = features[:, None, KNOWN[number]] if number else None
        return self.heads[number](described.passes[number], described.recent, known)

    def forward(self, frames: Tensor, conditions: Tensor) -> Tensor:
        """Whole packets of integers [batch, frames, bins] to parameters [batch, frames, bins, 2]."""
        features = self.features(frames)
        described, _ = self.trunk(self.start(len(frames)), conditions, features[:, :-1])
        flat = features.flatten(0, 1)
        parameters = flat.new_empty(len(flat), self.config.bins, 2)
        for number, bins in enumerate(PASSES):
            parameters[:, bins] = self.head(number, described, flat)
        return parameters.view(*frames.shape, 2)

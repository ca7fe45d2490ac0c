"""The context model: it predicts how likely each value of a coefficient is, from what has been decoded before.

Frames hold integers: MDCT coefficients in quantiser steps. A frame is decoded in three passes over frequency: every fourth
coefficient, then those midway between them, then the odd ones. A causal network over past frames (the trunk) describes the
coming frame; where steps follow the envelope of the speech, it is told that of the frame. In each pass, a small network over
frequency (the head) adds what past frames, the envelope and earlier passes show around a coefficient, and outputs the parameters
of a distribution over integers (`telucodec.networks.waveform.entropy`).

Only magnitudes are used: the signs of speech are practically random, even when the pitch period is known. All arithmetic
is exact (`telucodec.networks.exact`).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from telucodec.networks.exact import ExactConv, ExactDelays, ExactLinear, activation, on_grid, relu
from telucodec.waveform.bands import band_centres
from telucodec.waveform.grids import AGE_LIMIT, BANDS, CONDITIONS, KNOWN, LARGEST, PASSES, RECENT

RESIDUAL_BITS, RESIDUAL_LIMIT = 8, 2**15  # values between the blocks: multiples of 2^-8 up to 2^7
AROUND = 9  # coefficients of each recent frame that a head sees, centred on the one to predict
KNOWN_TAPS = 0, 8, 12  # for each pass, coefficients of earlier passes that the head sees


@dataclass(frozen=True)
class ContextConfig:
    """Shape of a context model; params.yaml documents each setting."""

    bins: int
    channels: int
    expansion: int
    taps: int
    dilations: tuple[int, ...]
    features: int
    hidden: int


class State(NamedTuple):
    """What the network remembers of packets."""

    recent: Tensor  # [batch, RECENT, bins], magnitudes as activations, the latest frame last
    past: tuple[Tensor, ...]  # [batch, history, channels] of each block
    age: Tensor  # [batch], number of frames so far, up to AGE_LIMIT


class TrunkOutput(NamedTuple):
    """What the heads need to know about `count` frames."""

    passes: tuple[Tensor, ...]  # for each pass, features [count, bins of the pass, features]
    recent: Tensor  # [count, RECENT, bins], the frames before each frame
    expected: Tensor  # [count, bins]


class Block(nn.Module):
    """Residual block: delays, then two pointwise layers."""

    def __init__(self, channels: int, expansion: int, taps: int, dilation: int):
        super().__init__()
        self.delays = ExactDelays(channels, taps, dilation)
        self.expand = ExactLinear(channels, expansion * channels, gain=1.4)
        self.reduce = ExactLinear(expansion * channels, channels, gain=0.2)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """The output [batch, frames, channels] for x of this shape, and `past` [batch, history, channels] for the next call."""
        mixed, past = self.delays(activation(x), past)
        return _residual(x + self.reduce(relu(self.expand(activation(mixed))))), past


def _residual(x: Tensor) -> Tensor:
    return on_grid(x, RESIDUAL_BITS, -RESIDUAL_LIMIT, RESIDUAL_LIMIT)


class Head(nn.Module):
    """The network over frequency for one pass."""

    def __init__(self, config: ContextConfig, number: int):
        super().__init__()
        start, _, stride = PASSES[number].indices(config.bins)
        before = AROUND // 2 - start
        after = (len(range(config.bins)[PASSES[number]]) - 1) * stride + AROUND - config.bins - before
        taps = KNOWN_TAPS[number]
        self.described = ExactLinear(config.features, config.hidden, gain=0.7)
        self.recent = ExactConv(RECENT, config.hidden, AROUND, (before, after), stride, gain=0.7)
        self.expected = ExactConv(1, config.hidden, AROUND, (before, after), stride, gain=0.5)
        self.known = ExactConv(1, config.hidden, taps, (taps // 2 - 1, taps // 2), gain=0.5) if taps else None
        self.middle = ExactLinear(config.hidden, config.hidden, gain=1.4)
        self.last = ExactLinear(config.hidden, 2, gain=0.1)

    def forward(self, features: Tensor, recent: Tensor, expected: Tensor, known: Tensor | None) -> Tensor:
        """Parameters [count, bins of this pass, 2].

        Args:
            features: [count, bins of this pass, features], from the trunk.
            recent: [count, RECENT, bins], the frames before.
            expected: [count, bins], the envelope of the frame over its steps.
            known: [count, 1, bins of earlier passes]; None in the first pass.
        """
        local = self.recent(recent) + self.expected(expected[:, None])
        if self.known is not None:
            local = local + self.known(known)
        hidden = relu(self.described(features) + local.transpose(1, 2))
        return self.last(relu(self.middle(hidden)))


class ContextModel(nn.Module):
    """Frames of integers [batch, frames, bins] to the parameters of every coefficient's distribution."""

    magnitude: (
        Tensor  # [LARGEST + 1], magnitudes as activations; saved with the weights, as log2 differs between machines
    )
    centres: Tensor  # [BANDS], the bins in the middle of bands

    def __init__(self, config: ContextConfig):
        super().__init__()
        self.config = config
        values = torch.arange(LARGEST + 1).double()
        self.register_buffer("magnitude", activation(0.375 * torch.log2(values + 0.25)).float())
        self.register_buffer("centres", torch.tensor(band_centres(config.bins)), persistent=False)
        self.enter = ExactLinear(RECENT * config.bins + BANDS + CONDITIONS + 1, config.channels)
        self.blocks = nn.ModuleList(
            Block(config.channels, config.expansion, config.taps, dilation) for dilation in config.dilations
        )
        self.leave = ExactLinear(config.channels, config.bins * config.features)
        self.heads = nn.ModuleList(Head(config, number) for number in range(len(PASSES)))

    @property
    def pass_sizes(self) -> list[int]:
        """The number of bins in each pass."""
        return [len(range(self.config.bins)[bins]) for bins in PASSES]

    def start(self, batch: int) -> State:
        """The state before the first frame."""
        config, like = self.config, self.magnitude
        delays = (layer for layer in self.modules() if isinstance(layer, ExactDelays))
        past = tuple(like.new_zeros(batch, layer.history, config.channels) for layer in delays)
        return State(like.new_zeros(batch, RECENT, config.bins), past, like.new_zeros(batch))

    def features(self, values: Tensor) -> Tensor:
        """Integers [...] as inputs of the network: their magnitudes on a logarithmic scale, as activations."""
        return self.magnitude[values.abs().clamp(max=LARGEST).long()]

    def trunk(self, state: State, conditions: Tensor, expected: Tensor, following: Tensor) -> tuple[TrunkOutput, State]:
        """Describe frames, each from the frames before it.

        Args:
            state: before the first of these frames.
            conditions: [batch, CONDITIONS] activations.
            expected: [batch, frames, bins] activations, the envelope of each frame over its steps; 0 where all steps are equal.
            following: features [batch, frames - 1, bins] of all these frames except the last.

        Returns:
            The output for batch * frames frames, and the state after the last of them, except for the features of that
            frame, which `push` adds.
        """
        line = torch.cat([state.recent, following], dim=1)
        batch, frames, bins = len(line), following.shape[1] + 1, self.config.bins
        before = torch.cat([line[:, lag : lag + frames] for lag in range(RECENT)], dim=2)
        age = (state.age[:, None] + torch.arange(frames, device=line.device)).clamp(max=AGE_LIMIT)
        bands = expected[..., self.centres]
        inputs = torch.cat([before, bands, conditions[:, None].expand(-1, frames, -1), age[..., None] / 8], dim=2)
        x = _residual(self.enter(inputs))
        past = []
        for block, block_past in zip(self.blocks, state.past, strict=True):
            x, block_past = block(x, block_past)
            past.append(block_past)
        features = activation(self.leave(relu(x))).view(batch * frames, bins, self.config.features)
        recent = before.view(batch * frames, RECENT, bins)
        output = TrunkOutput(features.split(self.pass_sizes, dim=1), recent, expected.flatten(0, 1))
        return output, State(line[:, -RECENT:], tuple(past), age[:, -1] + 1)

    def push(self, state: State, features: Tensor) -> State:
        """Add the features [batch, bins] of the last frame to the state."""
        return state._replace(recent=torch.cat([state.recent[:, 1:], features[:, None]], dim=1))

    def head(self, number: int, trunk: TrunkOutput, features: Tensor) -> Tensor:
        """Parameters [count, bins of the pass, 2] in pass `number`.

        Args:
            number: of the pass.
            trunk: output of `trunk` for count frames.
            features: [count, bins] of the frames themselves; only coefficients of earlier passes are read.
        """
        known = features[:, None, KNOWN[number]] if number else None
        return self.heads[number](trunk.passes[number], trunk.recent, trunk.expected, known)

    def forward(self, frames: Tensor, conditions: Tensor, expected: Tensor) -> Tensor:
        """Whole packets of integers [batch, frames, bins] to parameters [batch, frames, bins, 2]."""
        features = self.features(frames)
        trunk, _ = self.trunk(self.start(len(frames)), conditions, expected, features[:, :-1])
        flat = features.flatten(0, 1)
        parameters = flat.new_empty(len(flat), self.config.bins, 2)
        for number, bins in enumerate(PASSES):
            parameters[:, bins] = self.head(number, trunk, flat)
        return parameters.view(*frames.shape, 2)

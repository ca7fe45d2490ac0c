"""The context model in PyTorch, as it was trained: slower than the runtime, which is tested against it."""

import copy

import numpy as np
import torch

from telucodec.exact import ACTIVATION_BITS
from telucodec.networks.exact import activation
from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.model import WaveformCodec
from telucodec.waveform import levels
from telucodec.waveform.levels import LevelCoder
from telucodec.waveform.quantization import Prices, Settings


class TorchEngine:
    """`telucodec.waveform.engine.Engine` in PyTorch."""

    def __init__(self, codec: WaveformCodec):
        self.sample_rate, self.hop = codec.config.sample_rate, codec.config.hop
        self.pass_sizes = codec.context.pass_sizes
        self.frequencies = codec.frequencies.float().numpy()
        self.centroids = codec.centroids.numpy()
        self.prices = Prices(self.frequencies.astype(np.float64))
        self.context, self._levels = codec.context, codec.levels
        self.levels = LevelCoder(self._logarithms, codec.levels.bits)

    @torch.no_grad()
    def _logarithms(self, number: int, context: np.ndarray) -> np.ndarray:
        unit = 2.0**-ACTIVATION_BITS
        outputs = self._levels.logarithms(number, torch.from_numpy(context) * unit)
        return (outputs * 2.0**self._levels.bits).int().numpy()

    def walk(self, settings: Settings, packets: int = 1) -> "TorchWalk":
        """Start this many packets with the same settings."""
        return TorchWalk(self, [settings] * packets)


class TorchWalk:
    """`telucodec.waveform.engine.Walk` in PyTorch."""

    def __init__(self, engine: TorchEngine, settings: list[Settings]):
        self._context = engine.context
        self.change(settings)
        self._state = self._context.start(len(settings))
        self.history = levels.start(len(settings))
        self._nothing = self._conditions.new_zeros(len(settings), 0, engine.hop)

    def change(self, settings: list[Settings]) -> None:
        """Packets from here on are quantised like this."""
        self.steps = np.array([one.step for one in settings])
        self._conditions = activation(torch.tensor([one.conditions for one in settings]).float())

    def copy(self) -> "TorchWalk":
        """The same state; nothing in it is changed in place."""
        return copy.copy(self)

    @torch.no_grad()
    def kinds(self, number: int, expected: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The kinds of distribution [batch, bins of the pass] of pass `number`, given the integers [batch, bins] so far."""
        if number == 0:
            known = torch.from_numpy(expected[:, None]) * 2.0**-ACTIVATION_BITS
            self._trunk, self._state = self._context.trunk(self._state, self._conditions, known, self._nothing)
        features = self._context.features(torch.from_numpy(values))
        return entropy.kinds(self._context.head(number, self._trunk, features)).numpy()

    @torch.no_grad()
    def push(self, values: np.ndarray) -> None:
        """Complete the frame with its integers [batch, bins]."""
        self._state = self._context.push(self._state, self._context.features(torch.from_numpy(values)))

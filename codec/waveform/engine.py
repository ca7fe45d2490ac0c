"""The context model frame by frame, for a coder that gets to know a frame pass by pass. Two that compute the same bits."""

from abc import ABC, abstractmethod

import numpy as np
import torch

from codec.exact import ACTIVATION_BITS
from codec.onnx_graph import session
from codec.waveform import entropy
from codec.waveform.context import AGE_LIMIT, KNOWN, LARGEST, RECENT, ContextModel
from codec.waveform.graph import head_graph, trunk_graph

UNIT = 2.0**ACTIVATION_BITS


class Walk(ABC):
    """Packets side by side, frame after frame; remembers what the network needs of the frames so far.

    For each frame call `kinds` for every pass in turn, then `push`.
    """

    @abstractmethod
    def kinds(self, number: int, values: np.ndarray) -> np.ndarray:
        """The kinds of distribution [batch, bins of the pass] of pass `number`.

        Args:
            values: integers [batch, bins] of the frame; those of earlier passes are looked at.
        """

    @abstractmethod
    def push(self, values: np.ndarray) -> None:
        """Integers [batch, bins]: the frame is known."""


class OnnxEngine:
    """The context model in ONNX Runtime, with as many threads as PyTorch has now."""

    def __init__(self, context: ContextModel):
        graphs = [trunk_graph(context), *(head_graph(context, number) for number in (1, 2))]
        self.sessions = [session(graph) for graph in graphs]
        self.config = context.config
        self.magnitude = (context.magnitude * UNIT).numpy()

    def walk(self, conditions: np.ndarray) -> "OnnxWalk":
        """Start packets with `conditions` [batch, CONDITIONS] of the codec."""
        return OnnxWalk(self, conditions)


class OnnxWalk(Walk):
    """A walk with ONNX Runtime. Activations are integers here, as in the graphs."""

    def __init__(self, engine: OnnxEngine, conditions: np.ndarray):
        config, batch = engine.config, len(conditions)
        self._engine = engine
        self._age = 0
        self._told = np.concatenate([conditions * UNIT, np.zeros((batch, 1))], axis=1, dtype=np.float32)
        self._recent = np.zeros((batch, RECENT, config.bins), np.float32)
        # A ring for each block: the place of a frame is its number modulo the length.
        self._rings = [
            np.zeros(((config.taps - 1) * dilation, batch, config.channels), np.float32)
            for dilation in config.dilations
        ]
        self._described: list[np.ndarray] = []

    def kinds(self, number: int, values: np.ndarray) -> np.ndarray:
        recent = self._recent.reshape(len(values), -1)
        if number == 0:
            return self._trunk(recent)
        feed = {
            "described": self._described[number - 1],
            "recent": recent,
            "known": self._features(values[:, KNOWN[number]]),
        }
        return self._engine.sessions[number].run(["kind"], feed)[0]

    def _trunk(self, recent: np.ndarray) -> np.ndarray:
        config = self._engine.config
        self._told[:, -1] = min(self._age, AGE_LIMIT) * (UNIT / 8)
        feed = {"recent": recent, "told": self._told}
        for block, (ring, dilation) in enumerate(zip(self._rings, config.dilations, strict=True)):
            for lag in range(1, config.taps):
                feed[f"past_{block}_{lag}"] = ring[(self._age - lag * dilation) % len(ring)]
        names = [f"now_{block}" for block in range(len(self._rings))]
        *now, kind, first, second = self._engine.sessions[0].run([*names, "kind_0", "described_1", "described_2"], feed)
        for ring, value in zip(self._rings, now, strict=True):
            ring[self._age % len(ring)] = value
        self._described = [first, second]
        return kind

    def push(self, values: np.ndarray) -> None:
        self._recent[:, :-1] = self._recent[:, 1:]
        self._recent[:, -1] = self._features(values)
        self._age += 1

    def _features(self, values: np.ndarray) -> np.ndarray:
        return self._engine.magnitude[np.minimum(np.abs(values), LARGEST)]


class TorchEngine:
    """The context model in PyTorch as it was trained: slower, and what `OnnxEngine` is compared with."""

    def __init__(self, context: ContextModel):
        self.context = context

    def walk(self, conditions: np.ndarray) -> "TorchWalk":
        """Start packets with `conditions` [batch, CONDITIONS] of the codec."""
        return TorchWalk(self.context, torch.from_numpy(conditions))


class TorchWalk(Walk):
    """A walk with PyTorch."""

    def __init__(self, context: ContextModel, conditions: torch.Tensor):
        self._context, self._conditions = context, conditions
        self._state = context.start(len(conditions))
        self._nothing = conditions.new_zeros(len(conditions), 0, context.config.bins)

    @torch.no_grad()
    def kinds(self, number: int, values: np.ndarray) -> np.ndarray:
        if number == 0:
            self._described, self._state = self._context.trunk(self._state, self._conditions, self._nothing)
        features = self._context.features(torch.from_numpy(values))
        return entropy.kinds(self._context.head(number, self._described, features)).numpy()

    @torch.no_grad()
    def push(self, values: np.ndarray) -> None:
        self._state = self._context.push(self._state, self._context.features(torch.from_numpy(values)))

"""The context model frame by frame in ONNX Runtime, for a coder that gets to know a frame pass by pass."""

import copy
from typing import Protocol, Self

import numpy as np

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from telucodec.models import ModelFolder
from telucodec.waveform import levels
from telucodec.waveform.grids import AGE_LIMIT, KNOWN, LARGEST, LEVEL_PASSES, RECENT
from telucodec.waveform.levels import LevelCoder
from telucodec.waveform.quantization import Prices, Settings

UNIT = 2.0**ACTIVATION_BITS


class Walk(Protocol):
    """Packets side by side, frame after frame; remembers what the network needs of the frames so far.

    For each frame call `kinds` for every pass in turn, then `push`.
    """

    history: np.ndarray  # [batch, LEVEL_HISTORY, BANDS]: levels of the groups before the packets; a coder sets it
    steps: np.ndarray  # [batch]: steps of the packets before

    def change(self, settings: list[Settings]) -> None:
        """From here on, packets are quantised like this."""

    def copy(self) -> Self:
        """The same state, to go on from twice."""

    def kinds(self, number: int, expected: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The kinds of distribution [batch, bins of the pass] of pass `number`.

        Args:
            expected: [batch, bins] of the frame, see `telucodec.waveform.quantization.Grid`.
            values: integers [batch, bins] of the frame; those of earlier passes are read.
        """

    def push(self, values: np.ndarray) -> None:
        """Integers [batch, bins]: the frame is known."""


class Engine(Protocol):
    """What codes with one model: its context network and its tables."""

    sample_rate: int  # Hz
    hop: int  # samples, and bins of a frame
    pass_sizes: list[int]  # bins of each pass
    frequencies: np.ndarray  # [rows, symbols], float32
    centroids: np.ndarray  # [scale, magnitude], int32
    prices: Prices
    levels: LevelCoder

    def walk(self, settings: Settings, packets: int) -> Walk:
        """Start so many packets at one setting."""


class WaveformEngine:
    """`Engine` in ONNX Runtime."""

    def __init__(self, model: ModelFolder):
        shape = model.shape
        self.sample_rate: int = shape["sample_rate"]
        self.hop: int = shape["hop"]
        self.pass_sizes: list[int] = shape["pass_sizes"]
        self.taps: int = shape["taps"]
        self.dilations: list[int] = shape["dilations"]
        self.channels: int = shape["channels"]
        self.frequencies = model.weights["frequencies"].astype(np.float32)
        self.centroids = model.weights["centroids"]
        self.prices = Prices(self.frequencies.astype(np.float64))
        self.magnitude = model.weights["context.magnitude"] * np.float32(UNIT)
        self.sessions = [model.session(name) for name in ("trunk", "head_1", "head_2")]
        networks = [model.session(f"levels_{number}") for number in range(len(LEVEL_PASSES))]
        self.levels = LevelCoder(
            lambda number, context: networks[number].run(None, {"context": context})[0], shape["level_bits"]
        )

    def walk(self, settings: Settings, packets: int = 1) -> "OnnxWalk":
        """Start so many packets at one setting."""
        return OnnxWalk(self, [settings] * packets)


class OnnxWalk:
    """`Walk` with ONNX Runtime. Activations are integers here, as in the graphs."""

    def __init__(self, engine: WaveformEngine, settings: list[Settings]):
        batch = len(settings)
        self._engine = engine
        self.history = levels.start(batch)
        self._age = 0
        self.change(settings)
        self._recent = np.zeros((batch, RECENT, engine.hop), np.float32)
        # A ring for each block: the place of a frame is its number modulo the length.
        self._rings = [
            np.zeros(((engine.taps - 1) * dilation, batch, engine.channels), np.float32)
            for dilation in engine.dilations
        ]
        self._trunk_features: list[np.ndarray] = []

    def change(self, settings: list[Settings]) -> None:
        self.steps = np.array([one.step for one in settings])
        conditions = np.rint(np.array([one.conditions for one in settings]) * UNIT)
        conditions = conditions.clip(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        self._conditions = np.concatenate([conditions, np.zeros((len(settings), 1))], axis=1, dtype=np.float32)

    def copy(self) -> "OnnxWalk":
        twin = copy.copy(self)
        twin._recent, twin._rings = self._recent.copy(), [ring.copy() for ring in self._rings]
        return twin

    def kinds(self, number: int, expected: np.ndarray, values: np.ndarray) -> np.ndarray:
        recent = self._recent.reshape(len(values), -1)
        if number == 0:
            return self._trunk(recent, expected)
        feed = {
            "features": self._trunk_features[number - 1],
            "recent": recent,
            "expected": expected,
            "known": self._features(values[:, KNOWN[number]]),
        }
        return self._engine.sessions[number].run(["kind"], feed)[0]

    def _trunk(self, recent: np.ndarray, expected: np.ndarray) -> np.ndarray:
        engine = self._engine
        self._conditions[:, -1] = min(self._age, AGE_LIMIT) * (UNIT / 8)
        feed = {"recent": recent, "expected": expected, "conditions": self._conditions}
        for block, (ring, dilation) in enumerate(zip(self._rings, engine.dilations, strict=True)):
            for lag in range(1, engine.taps):
                feed[f"past_{block}_{lag}"] = ring[(self._age - lag * dilation) % len(ring)]
        names = [f"now_{block}" for block in range(len(self._rings))]
        *now, kind, first, second = engine.sessions[0].run([*names, "kind_0", "features_1", "features_2"], feed)
        for ring, value in zip(self._rings, now, strict=True):
            ring[self._age % len(ring)] = value
        self._trunk_features = [first, second]
        return kind

    def push(self, values: np.ndarray) -> None:
        self._recent[:, :-1] = self._recent[:, 1:]
        self._recent[:, -1] = self._features(values)
        self._age += 1

    def _features(self, values: np.ndarray) -> np.ndarray:
        return self._engine.magnitude[np.minimum(np.abs(values), LARGEST)]

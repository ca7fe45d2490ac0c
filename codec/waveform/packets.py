"""Frames of coefficients to bytes and back with the waveform codec: packets side by side, each by itself."""

import numpy as np

from telucodec.mdct import on_grid
from telucodec.waveform import entropy, own_steps
from telucodec.waveform.engine import Engine, Walk
from telucodec.waveform.enhancer import EnhancerEngine
from telucodec.waveform.filling import amplitudes
from telucodec.waveform.grids import BANDS, GROUP, LEVEL_HISTORY, PASSES
from telucodec.waveform.quantization import Grid, Scale, Settings, likely_zeros, quantize, reconstruct
from telucodec.waveform.restoration import Decoded, Restoration


class WaveformPackets:
    """Codes packets of frames [frames, hop] of MDCT coefficients at one setting.

    Packets go through the network side by side, which is much faster than one after the other; a packet's bytes depend on
    its own frames alone, and on those before it where it goes on from them. Encoder and decoder take the same walk through the
    frames: the encoder chooses integers where the decoder reads them, both knowing the same distributions.
    """

    def __init__(
        self, engine: Engine, settings: Settings, enhancer: EnhancerEngine | None = None, own_steps: bool = False
    ):
        """`own_steps`: each packet says at which step it is quantised; that of the settings is where a key packet starts from."""
        self.hop, self.settings, self.scale = engine.hop, settings, Scale(settings, engine.hop)
        self.own_steps = own_steps
        self._engine, self._enhancer = engine, enhancer

    def restoration(self) -> Restoration:
        """What turns the frames of one recording into what is heard."""
        return Restoration(self._enhancer, noisy=self.settings.shaping > 0)

    def start(self, packets: int = 1) -> Walk:
        """The state at the start of packets that are decodable by themselves."""
        return self._engine.walk(self.settings, packets)

    def encode(
        self, packets: list[np.ndarray], walk: Walk | None = None, step: int | None = None
    ) -> tuple[list[bytes], list[Decoded]]:
        """Coefficients [frames, hop] of each packet to its bytes and what a decoder reads from them.

        Args:
            packets: coefficients.
            walk: where the packets go on from; it moves. None starts afresh.
            step: of all these packets, if they have their own; whole units of `own_steps` from that of the settings.
        """
        counts = [len(packet) for packet in packets]
        grids = [self.scale.measured(packet, step) for packet in packets]
        values = np.zeros((len(packets), max(counts), self.hop), packets[0].dtype)
        expected = np.zeros(values.shape, np.float32)
        for n, (packet, grid) in enumerate(zip(packets, grids, strict=True)):
            values[n, : len(packet)] = packet / grid.steps.astype(packet.dtype)
            expected[n, : len(packet)] = grid.expected
        integers = np.zeros(values.shape, np.int64)
        kinds = np.zeros(values.shape, np.int32)
        walk = walk or self.start(len(packets))
        coders = [entropy.Encoder(self._engine.frequencies) for _ in packets]
        if step is not None:
            chosen = np.full(len(packets), step)
            for coder, symbol in zip(coders, own_steps.symbols(walk.steps, chosen), strict=True):
                coder.write_symbols(symbol[None], own_steps.FREQUENCIES[None])
            walk.change(self._at(chosen))
        for coder, history, grid in zip(coders, walk.history, grids, strict=True):
            if len(grid.levels):
                coder.write_symbols(*self._engine.levels.encode(history, grid.levels))
        for frame in range(max(counts)):
            for number, bins in enumerate(PASSES):
                given = kinds[:, frame, bins] = walk.kinds(number, expected[:, frame], integers[:, frame])
                integers[:, frame, bins] = quantize(values[:, frame, bins], given, self._engine.prices)
            walk.push(integers[:, frame])
        self._remember(walk, [grid.levels for grid in grids])
        coded = [(integers[n, :count], kinds[n, :count]) for n, count in enumerate(counts)]
        payloads = [self._written(coder, *pair) for coder, pair in zip(coders, coded, strict=True)]
        return payloads, [self._expanded(*pair, grid) for pair, grid in zip(coded, grids, strict=True)]

    def _at(self, steps: np.ndarray) -> list[Settings]:
        return [Settings(int(step), self.settings.shaping) for step in steps]

    def _written(self, coder: entropy.Encoder, integers: np.ndarray, kinds: np.ndarray) -> bytes:
        coder.write(_in_turn(integers), _in_turn(kinds), np.cumsum(self._engine.pass_sizes * len(integers)))
        return coder.bytes()

    def decode(self, payloads: list[bytes], counts: list[int], walk: Walk | None = None) -> list[Decoded]:
        """Bytes of packets of `counts` frames, the longest first, to what they hold; `walk` as in `encode`.

        Raises:
            DamagedPacketError: no encoder writes these bytes.
        """
        decoder = entropy.Decoder(payloads, self._engine.frequencies)
        walk = walk or self.start(len(payloads))
        if self.own_steps:
            symbols = decoder.read_symbols(
                np.broadcast_to(own_steps.FREQUENCIES, (len(payloads), 1, own_steps.SYMBOLS))
            )
            walk.change(self._at(own_steps.steps(walk.steps, symbols[:, 0])))
        levels = [np.zeros((0, BANDS), np.int64) for _ in payloads]
        if self.settings.shaping:
            groups = [-(-count // GROUP) for count in counts]
            read = self._engine.levels.decode(decoder, walk.history, groups)
            levels = [own[:count] for own, count in zip(read, groups, strict=True)]
        grids = [self.scale.grid(*packet) for packet in zip(levels, counts, map(int, walk.steps), strict=True)]
        integers = np.zeros((len(payloads), max(counts), self.hop), np.int64)
        kinds = np.zeros(integers.shape, np.int32)
        expected = np.zeros(integers.shape, np.float32)
        for place, grid in zip(expected, grids, strict=True):
            place[: len(grid.expected)] = grid.expected
        for frame in range(max(counts)):
            going = sum(count > frame for count in counts)
            for number, bins in enumerate(PASSES):
                given = kinds[:, frame, bins] = walk.kinds(number, expected[:, frame], integers[:, frame])
                integers[:going, frame, bins] = decoder.read(given[:going])
            walk.push(integers[:, frame])
        self._remember(walk, levels)
        return [
            self._expanded(integers[n, :count], kinds[n, :count], grid)
            for n, (count, grid) in enumerate(zip(counts, grids, strict=True))
        ]

    def _remember(self, walk: Walk, levels: list[np.ndarray]) -> None:
        """Leave the last levels of each packet for the packet that goes on from there."""
        line = (np.concatenate(pair) for pair in zip(walk.history, levels, strict=True))
        walk.history = np.stack([own[-LEVEL_HISTORY:] for own in line])

    def _expanded(self, integers: np.ndarray, kinds: np.ndarray, grid: Grid) -> Decoded:
        """What the integers of one packet [frames, bins] stand for."""
        coefficients = reconstruct(integers, kinds, self._engine.centroids) * grid.steps
        if not self.settings.shaping:
            return Decoded(coefficients, np.broadcast_to(0.0, coefficients.shape), grid.steps)
        coefficients, likely = on_grid(coefficients), likely_zeros(kinds, self._engine.centroids) * grid.steps
        noise = amplitudes(coefficients, likely, grid.steps, grid.levels, self.scale.bands)
        return Decoded(coefficients, noise, grid.steps)


def _in_turn(frames: np.ndarray) -> np.ndarray:
    """[frames, bins] as they are coded, one after the other."""
    return np.concatenate([frames[:, bins] for bins in PASSES], axis=1).reshape(-1)

"""Frames of coefficients to bytes and back with the waveform codec: packets side by side, each by itself."""

import numpy as np

from telucodec.waveform import entropy
from telucodec.waveform.engine import Engine, Walk
from telucodec.waveform.grids import PASSES
from telucodec.waveform.quantization import Scale, Settings, quantize, reconstruct


class WaveformPackets:
    """Codes packets of frames [frames, hop] of MDCT coefficients at one setting.

    Packets go through the network side by side, which is much faster than one after the other; a packet's bytes depend on
    its own frames alone, and on those before it where it goes on from them. Encoder and decoder take the same walk through the
    frames: the encoder chooses integers where the decoder reads them, both knowing the same distributions.
    """

    def __init__(self, engine: Engine, settings: Settings):
        self.hop, self.settings, self.scale = engine.hop, settings, Scale(settings)
        self._engine = engine

    def start(self, packets: int = 1) -> Walk:
        """The state at the start of packets that are decodable by themselves."""
        return self._engine.walk(self.settings, packets)

    def encode(self, packets: list[np.ndarray], walk: Walk | None = None) -> tuple[list[bytes], list[np.ndarray]]:
        """Coefficients [frames, hop] of each packet to its bytes and their errors [frames, hop].

        `walk` is where the packets go on from, and moves; None starts afresh.
        """
        counts = [len(packet) for packet in packets]
        values = np.zeros((len(packets), max(counts), self.hop), packets[0].dtype)
        for place, packet in zip(values, packets, strict=True):
            place[: len(packet)] = self.scale.compress(packet)
        integers = np.zeros(values.shape, np.int64)
        kinds = np.zeros(values.shape, np.int32)
        walk = walk or self.start(len(packets))
        for frame in range(max(counts)):
            for number, bins in enumerate(PASSES):
                given = kinds[:, frame, bins] = walk.kinds(number, integers[:, frame])
                integers[:, frame, bins] = quantize(values[:, frame, bins], given, self._engine.prices)
            walk.push(integers[:, frame])
        coded = [(integers[n, :count], kinds[n, :count]) for n, count in enumerate(counts)]
        errors = [packet - self._expanded(*pair) for packet, pair in zip(packets, coded, strict=True)]
        return [self._write(*pair) for pair in coded], errors

    def _write(self, integers: np.ndarray, kinds: np.ndarray) -> bytes:
        coder = entropy.Encoder(self._engine.frequencies)
        coder.write(_in_turn(integers), _in_turn(kinds), np.cumsum(self._engine.pass_sizes * len(integers)))
        return coder.bytes()

    def decode(self, payloads: list[bytes], counts: list[int], walk: Walk | None = None) -> list[np.ndarray]:
        """Bytes of packets of `counts` frames, the longest first, to coefficients [frames, hop], float64.

        `walk` is where the packets go on from, and moves; None starts afresh.

        Raises:
            DamagedPacketError: no encoder writes these bytes.
        """
        decoder = entropy.Decoder(payloads, self._engine.frequencies)
        integers = np.zeros((len(payloads), max(counts), self.hop), np.int64)
        kinds = np.zeros(integers.shape, np.int32)
        walk = walk or self.start(len(payloads))
        for frame in range(max(counts)):
            going = sum(count > frame for count in counts)
            for number, bins in enumerate(PASSES):
                given = kinds[:, frame, bins] = walk.kinds(number, integers[:, frame])
                integers[:going, frame, bins] = decoder.read(given[:going])
            walk.push(integers[:, frame])
        return [self._expanded(integers[n, :count], kinds[n, :count]) for n, count in enumerate(counts)]

    def _expanded(self, integers: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Coefficients of one packet [frames, bins], float64."""
        return self.scale.expand(reconstruct(integers, kinds, self._engine.centroids))


def _in_turn(frames: np.ndarray) -> np.ndarray:
    """[frames, bins] as they are coded, one after the other."""
    return np.concatenate([frames[:, bins] for bins in PASSES], axis=1).reshape(-1)

"""Frames of coefficients to bytes and back with the waveform codec: packets side by side, each by itself."""

import numpy as np
import torch
from torch import Tensor

from codec.waveform import entropy
from codec.waveform.context import PASSES
from codec.waveform.engine import OnnxEngine, TorchEngine, Walk
from codec.waveform.model import PRICE, Settings, WaveformCodec, quantize


class WaveformPackets:
    """Codes packets of frames [frames, hop] of MDCT coefficients at one setting.

    Packets go through the network side by side, which is much faster than one after the other; a packet's bytes depend on
    its own frames alone, and on those before it where it goes on from them. Encoder and decoder take the same walk through the
    frames: the encoder chooses integers where the decoder reads them, both knowing the same distributions.
    """

    def __init__(self, codec: WaveformCodec, engine: OnnxEngine | TorchEngine, step: int, knee: int = 0):
        self.codec, self.hop = codec, codec.config.hop
        self._engine, self._setting = engine, (step, knee)
        self._table = codec.frequencies.float().numpy()

    def start(self, packets: int = 1) -> Walk:
        """The state at the start of packets that are decodable by themselves."""
        return self._engine.walk(self.codec.conditions(self.settings(packets)).numpy())

    @torch.no_grad()
    def encode(self, packets: list[Tensor], walk: Walk | None = None) -> tuple[list[bytes], list[Tensor]]:
        """Coefficients [frames, hop] of each packet to its bytes and their errors [frames, hop].

        `walk` is where the packets go on from, and moves; None starts afresh.
        """
        settings, counts = self.settings(len(packets)), [len(packet) for packet in packets]
        coefficients = torch.nn.utils.rnn.pad_sequence(packets)  # [frames, packets, bins]
        integers = np.zeros((len(packets), max(counts), self.hop), np.int64)
        kinds = np.zeros(integers.shape, np.int32)
        walk = walk or self.start(len(packets))
        for frame in range(max(counts)):
            values = self.codec.compress(coefficients[frame, :, None], settings)[:, 0]
            for number, chosen in enumerate(PASSES):
                given = walk.kinds(number, integers[:, frame])
                best = quantize(values[:, chosen], torch.from_numpy(given).long(), self.codec.prices, PRICE)
                integers[:, frame, chosen], kinds[:, frame, chosen] = best.numpy(), given
            walk.push(integers[:, frame])
        coded = [(integers[n, :count], kinds[n, :count]) for n, count in enumerate(counts)]
        errors = [packet - self._expanded(*pair) for packet, pair in zip(packets, coded, strict=True)]
        return [self._write(*pair) for pair in coded], errors

    def _write(self, integers: np.ndarray, kinds: np.ndarray) -> bytes:
        coder = entropy.Encoder(self._table)
        sizes = self.codec.context.pass_sizes * len(integers)
        coder.write(_in_turn(integers), _in_turn(kinds), np.cumsum(sizes))
        return coder.bytes()

    @torch.no_grad()
    def decode(self, payloads: list[bytes], counts: list[int], walk: Walk | None = None) -> list[Tensor]:
        """Bytes of packets of `counts` frames, the longest first, to coefficients [frames, hop], float64.

        `walk` is where the packets go on from, and moves; None starts afresh.

        Raises:
            entropy.DamagedPacket: the bytes are none that an encoder writes.
        """
        decoder = entropy.Decoder(payloads, self._table)
        integers = np.zeros((len(payloads), max(counts), self.hop), np.int64)
        kinds = np.zeros(integers.shape, np.int32)
        walk = walk or self.start(len(payloads))
        for frame in range(max(counts)):
            going = sum(count > frame for count in counts)
            for number, chosen in enumerate(PASSES):
                given = kinds[:, frame, chosen] = walk.kinds(number, integers[:, frame])
                integers[:going, frame, chosen] = decoder.read(given[:going])
            walk.push(integers[:, frame])
        return [self._expanded(integers[n, :count], kinds[n, :count]) for n, count in enumerate(counts)]

    def _expanded(self, integers: np.ndarray, kinds: np.ndarray) -> Tensor:
        """Coefficients of one packet [frames, bins]."""
        values = self.codec.reconstruct(torch.from_numpy(integers), torch.from_numpy(kinds))
        return self.codec.expand(values[None], self.settings(1))[0]

    def settings(self, packets: int) -> Settings:
        """The setting, for so many packets."""
        return Settings.of(*self._setting, batch=packets)


def _in_turn(frames: np.ndarray) -> np.ndarray:
    """[frames, bins] as they are coded, one after the other."""
    return np.concatenate([frames[:, chosen] for chosen in PASSES], axis=1).reshape(-1)

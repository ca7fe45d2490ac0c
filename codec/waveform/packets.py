"""Frames of coefficients to bytes and back with the waveform codec: packets side by side, each with its own state."""

import numpy as np
import torch
from torch import Tensor

from codec.waveform import entropy
from codec.waveform.context import PASSES, State
from codec.waveform.entropy import Symbols
from codec.waveform.model import Settings, WaveformCodec

BATCH_FRAMES = 270  # frames that go through the network at once: bounds memory, and stays in the cache


class WaveformPackets:
    """Codes packets of frames [frames, hop] of MDCT coefficients at one setting.

    Packets go through the network side by side, which is much faster than one after the other; a packet's bytes depend on
    its own frames and state alone. A state is what `new_state`, `encode` or `decode` gave; None starts afresh.
    """

    def __init__(self, codec: WaveformCodec, step: int, knee: int = 0):
        self.codec, self.hop = codec, codec.config.hop
        self._setting = step, knee
        self._table = codec.frequencies.float().numpy()

    def new_state(self) -> State:
        """The state at the start of an independently decodable packet."""
        return self.codec.context.start(1)

    @torch.no_grad()
    def encode(self, packets: list[Tensor], states: list[State]) -> tuple[list[bytes], list[State], list[Tensor]]:
        """Coefficients [frames, hop] of each packet to its bytes, the states after them, and their errors [frames, hop]."""
        payloads, after, errors = [], [], []
        for frames, state in _batches(packets, states):
            settings = self._settings(len(frames))
            integers, parameters, moved = self.codec.choose(frames, settings, state)
            given = entropy.symbols(parameters).numpy()
            values = integers.to(torch.int64).numpy()
            payloads += [self._write(values[place], _at(given, place)) for place in range(len(values))]
            after += moved.split()
            decoded = self.codec.expand(self.codec.reconstruct(integers, parameters), settings)
            errors += list(frames - decoded)
        return payloads, after, errors

    def _write(self, values: np.ndarray, given: Symbols) -> bytes:
        coder = entropy.Encoder(self._table)
        for frame, distributions in zip(values, zip(*given, strict=True), strict=True):
            for bins in PASSES:
                coder.write(frame[bins], Symbols(*(part[bins] for part in distributions)))
        return coder.bytes()

    @torch.no_grad()
    def decode(self, payloads: list[bytes], counts: list[int], states: list[State]) -> tuple[list[Tensor], list[State]]:
        """Bytes of packets of `counts` frames to coefficients [frames, hop], float64, and the states after them.

        Raises:
            entropy.DamagedPacket: the bytes are none that an encoder writes.
        """
        decoded: list[Tensor] = [torch.empty(0)] * len(payloads)
        after: list[State] = list(states)
        for count in set(counts):
            chosen = [number for number, frames in enumerate(counts) if frames == count]
            frames, moved = self._decode(
                [payloads[number] for number in chosen], count, State.join([states[n] for n in chosen])
            )
            for place, number in enumerate(chosen):
                decoded[number], after[number] = frames[place], moved[place]
        return decoded, after

    def _decode(self, payloads: list[bytes], count: int, state: State) -> tuple[Tensor, list[State]]:
        batch, bins, context = len(payloads), self.hop, self.codec.context
        settings = self._settings(batch)
        conditions, none = self.codec.conditions(settings), context.magnitude.new_zeros(batch, 0, bins)
        decoders = [entropy.Decoder(payload, self._table) for payload in payloads]
        frames = torch.empty(batch, count, bins, dtype=torch.float64)
        for frame in range(count):
            static, state = context.trunk(state, conditions, none)
            integers, features = torch.zeros(batch, bins), torch.zeros(batch, bins)
            parameters = torch.zeros(batch, bins, 2)
            for number, chosen in enumerate(PASSES):
                parameters[:, chosen] = context.head(number, static, features)
                given = entropy.symbols(parameters[:, chosen]).numpy()
                read = [coder.read(_at(given, n)) for n, coder in enumerate(decoders)]
                integers[:, chosen] = torch.from_numpy(np.stack(read)).float()
                features[:, chosen] = context.features(integers[:, chosen])
            state = context.push(state, features)
            frames[:, frame] = self.codec.reconstruct(integers, parameters)
        return self.codec.expand(frames, settings), state.split()

    def _settings(self, batch: int) -> Settings:
        return Settings.of(*self._setting, batch=batch)


def _at(given: Symbols, place: int) -> Symbols:
    return Symbols(*(part[place] for part in given))


def _batches(packets: list[Tensor], states: list[State]):
    """Packets of equal length side by side: coefficients [batch, frames, bins] and their joined states."""
    start = 0
    while start < len(packets):
        frames = len(packets[start])
        end = start + 1
        while end < len(packets) and len(packets[end]) == frames and (end + 1 - start) * frames <= BATCH_FRAMES:
            end += 1
        yield torch.stack(packets[start:end]), State.join(states[start:end])
        start = end

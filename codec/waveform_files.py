"""Audio to the bytes of a `.tlc` file of the waveform codec and back."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from codec import container, rate
from codec.container import Header, Mode
from codec.samples import energy
from codec.streaming import SIDE_BY_SIDE, FrameDecoder, Packet, StreamEncoder
from codec.waveform.model import LAST_STEP, STEPS_PER_OCTAVE, WaveformCodec
from codec.waveform.packets import WaveformPackets

LIVE_KEY_SECONDS = 1.0
SHAPED_FLOOR = 3.0, -7.0  # log2 of the knee over the RMS: at perception 0 and what 1 adds

Chosen = tuple[int, int]  # quantiser step and knee, as `codec.waveform.model.Settings` has them
Progress = Callable[[float], None]


class WaveformFiles:
    """Files and live streams of one model."""

    def __init__(self, model: WaveformCodec, engine, name: bytes):
        """`engine` runs the model's context network; `name` is what the files' headers say of the model."""
        self._model, self._engine, self._name = model, engine, name
        self._rate, self._hop = model.config.sample_rate, model.config.hop

    def coder(self, settings: Chosen) -> WaveformPackets:
        """What codes packets at this step and knee."""
        return WaveformPackets(self._model, self._engine, *settings)

    def write(self, audio: np.ndarray, target: str, value: float, perception: float, progress: Progress) -> bytes:
        """Audio [samples] to a file, of the SNR in dB, kbit/s or quantiser step that `target` names.

        Raises:
            ValueError: the target is out of reach.
        """
        level = math.sqrt(energy(audio) / max(len(audio), 1))

        def encode_at(step: int) -> tuple[bytes, float]:
            return self._encode(audio, settings(step, perception, level), progress)

        if target == "step":
            return encode_at(value)[0]
        if level == 0:
            return encode_at(0)[0]
        search = rate.Search(audio, lambda step: self.coder(settings(step, perception, level)))
        return search.to_snr(value, encode_at) if target == "snr" else search.to_kbps(value, encode_at)

    def _encode(self, audio: np.ndarray, chosen: Chosen, progress: Progress) -> tuple[bytes, float]:
        """The file's bytes and the squared error."""
        frames = round(container.PACKET_SECONDS * self._rate / self._hop)
        encoder = StreamEncoder(self.coder(chosen), self._header(chosen, len(audio), frames, 1), SIDE_BY_SIDE)
        block = round(container.PACKET_SECONDS * self._rate)
        parts = []
        for start in range(0, len(audio), block):
            parts.append(encoder.push(audio[start : start + block]))
            progress(min(start + block, len(audio)) / self._rate)
        parts.append(encoder.finish())
        return b"".join(parts), encoder.error

    def read(self, header: Header, packets: list[Packet], lenient: bool) -> Iterator[np.ndarray]:
        """Packets to audio, a stretch at a time; lenient: silence where one is damaged or missing."""
        decoder = FrameDecoder(self.coder(header.settings), header, lenient)
        for start in range(0, len(packets), SIDE_BY_SIDE):
            yield decoder.decode(*zip(*packets[start : start + SIDE_BY_SIDE], strict=True))

    def live(self, chosen: Chosen) -> StreamEncoder:
        """An encoder for speech as it comes, one frame a packet."""
        key = round(LIVE_KEY_SECONDS * self._rate / self._hop)
        return StreamEncoder(self.coder(chosen), self._header(chosen, None, 1, key))

    def _header(self, chosen: Chosen, samples: int | None, packet_frames: int, key_packets: int) -> Header:
        return Header(Mode.WAVEFORM, self._name, self._rate, samples, packet_frames, key_packets, chosen)


def settings(step: int, perception: float, level: float) -> Chosen:
    """What a file's header says of a quantiser step, and of how far noise is hidden by speech of this RMS.

    Raises:
        ValueError: there is no such step.
    """
    if not 0 <= step <= LAST_STEP:
        raise ValueError(f"step must lie between 0 and {LAST_STEP}, got {step}")
    if perception == 0 or level == 0:
        return step, 0
    knee = math.log2(level) + SHAPED_FLOOR[0] + SHAPED_FLOOR[1] * perception + step / STEPS_PER_OCTAVE
    return step, round(min(max(160 - 16 * knee, 1), 255))

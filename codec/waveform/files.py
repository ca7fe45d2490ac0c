"""Audio to the bytes of a `.tlc` file of the waveform codec and back."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from telucodec.audio.samples import energy
from telucodec.audio.spool import Samples
from telucodec.errors import CodecError
from telucodec.files import container
from telucodec.files.header import Header, Mode
from telucodec.files.packets import SIDE_BY_SIDE, Packet, side_by_side
from telucodec.operating_point import OperatingPoint
from telucodec.waveform.engine import Engine
from telucodec.waveform.enhancer import EnhancerEngine
from telucodec.waveform.grids import FULL_SHAPING, GROUP, LAST_STEP
from telucodec.waveform.packets import WaveformPackets
from telucodec.waveform.quantization import Settings
from telucodec.waveform.rate_control import RateControl
from telucodec.waveform.search import Search
from telucodec.waveform.stream_decoder import FrameDecoder
from telucodec.waveform.stream_encoder import StreamEncoder

LIVE_KEY_SECONDS = 1.0

Progress = Callable[[float], None]


class WaveformFiles:
    """Files and live streams of one model."""

    def __init__(self, engine: Engine, model: bytes, enhancer: EnhancerEngine | None):
        """`model` is the id in the header of the files."""
        self._engine, self._model, self._enhancer = engine, model, enhancer
        self._rate, self._hop = engine.sample_rate, engine.hop

    def coder(self, settings: Settings, enhance: bool = True, own_steps: bool = False) -> WaveformPackets:
        """The coder of packets at this setting, or at steps of their own."""
        return WaveformPackets(self._engine, settings, self._enhancer if enhance else None, own_steps)

    def reader(self, header: Header, enhance: bool) -> WaveformPackets:
        """The coder of a file's packets."""
        return self.coder(Settings(*header.settings), enhance, header.own_steps)

    def write(self, audio: Samples, point: OperatingPoint, progress: Progress, strict: bool) -> bytes:
        """The file of audio [samples] at an operating point, or at the nearest there is, with a warning.

        Raises:
            CodecError: the target is out of reach, and `strict`.
        """

        def encode_at(step: int) -> tuple[bytes, float]:
            return self._encode(audio, settings(step, point.perception), progress, point.snr is not None)

        if point.step is not None:
            return encode_at(point.step)[0]
        if energy(audio) == 0:
            return encode_at(0)[0]
        search = Search(audio, self._rate, lambda step: self.coder(settings(step, point.perception)), strict)
        to_target = search.to_kbps if point.snr is None else search.to_snr
        return to_target(point.value, encode_at)

    def _encode(self, audio: Samples, chosen: Settings, progress: Progress, measure: bool) -> tuple[bytes, float]:
        """The file's bytes, and the squared error, 0 unless it is to be measured."""
        frames = round(container.PACKET_SECONDS * self._rate / self._hop)
        header = self._header(chosen, len(audio), frames, 1)
        encoder = StreamEncoder(self.coder(chosen), header, SIDE_BY_SIDE, measure)
        block = round(container.PACKET_SECONDS * self._rate)
        parts = []
        for start in range(0, len(audio), block):
            parts.append(encoder.push(audio[start : start + block]))
            progress(min(start + block, len(audio)) / self._rate)
        parts.append(encoder.finish())
        return b"".join(parts), encoder.error

    def read(self, header: Header, packets: list[Packet], lenient: bool, enhance: bool) -> Iterator[np.ndarray]:
        """Packets to audio, a stretch at a time; lenient: those that are damaged or missing are concealed."""
        decoder = FrameDecoder(self.reader(header, enhance), header, lenient)
        for group in side_by_side(packets):
            numbers, payloads, counts = map(list, zip(*group, strict=True))
            yield decoder.decode(numbers, payloads, counts)

    def live(self, point: OperatingPoint, independent: bool, dtx: bool) -> StreamEncoder:
        """An encoder for speech as it comes, at a step, or at steps that keep the rate below a limit.

        A packet holds one frame; two where frames share levels, or where every byte counts.

        Raises:
            CodecError: `dtx` without perception.
        """
        if dtx and not point.perception:
            raise CodecError("dtx needs perception above 0: comfort noise has the levels of its bands")
        control, step = None, point.step
        frames = GROUP if point.perception or step is None else 1
        if step is None:
            control = RateControl(point.value, frames * self._hop / self._rate)
            step = control.start
        chosen = settings(step, point.perception)
        key = 1 if independent else round(LIVE_KEY_SECONDS * self._rate / self._hop / frames)
        header = self._header(chosen, None, frames, key, own_steps=control is not None, dtx=dtx)
        return StreamEncoder(self.reader(header, enhance=False), header, control=control)

    def _header(
        self, chosen: Settings, samples: int | None, packet_frames: int, key_packets: int, **flags: bool
    ) -> Header:
        settings = tuple(chosen)
        return Header(Mode.WAVEFORM, self._model, self._rate, samples, packet_frames, key_packets, settings, **flags)


def settings(step: int, perception: float) -> Settings:
    """The settings of a quantiser step, with noise hidden below speech as far as `perception` says.

    Raises:
        CodecError: there is no such step.
    """
    if not 0 <= step <= LAST_STEP:
        raise CodecError(f"step must lie between 0 and {LAST_STEP}, got {step}")
    return Settings(step, math.ceil(FULL_SHAPING * perception))

"""Audio that arrives in pieces to packets that can be sent at once, with the waveform codec."""

import numpy as np

from telucodec.audio.samples import checked, floats
from telucodec.errors import CodecError
from telucodec.files import container
from telucodec.files.container import Header
from telucodec.mdct import ExactMDCT
from telucodec.waveform.packets import WaveformPackets
from telucodec.waveform.rate_control import RateControl, Trial
from telucodec.waveform.restoration import Decoded


class StreamEncoder:
    """Pushed samples come out as bytes of a `.tlc` stream; what `finish` returns ends it.

    A packet leaves as soon as its last frame's window is complete: with one frame a packet the algorithmic latency is two
    hops, 30 ms; with two, 45 ms. All pushed together give the same bytes, however they were cut.
    """

    def __init__(
        self,
        coder: WaveformPackets,
        header: Header,
        batch: int = 1,
        measure: bool = False,
        control: RateControl | None = None,
    ):
        """`control` chooses the steps of packets that have their own."""
        self.coder, self.header = coder, header
        self._control = control
        self._measure = measure  # whether to listen to what a decoder gives, for `error`
        self._batch = batch  # independent packets to code side by side; more is faster and later
        self._transform = ExactMDCT(coder.hop)
        self._before = self._transform.silence()
        self._waiting = np.zeros(0)  # samples that do not fill a hop yet
        self._frames = np.zeros((0, coder.hop))
        self._walk, self._restoration = coder.start(), coder.restoration()
        self._number, self._samples = 0, 0
        self._begun = False
        self._error_overlap = self._transform.silence()
        self._error_samples = -coder.hop  # the first hop lies before the recording
        self.error = 0.0  # if measured, squared error of the samples that a decoder could give so far

    def push(self, samples: np.ndarray) -> bytes:
        """Samples [count], float in [-1, 1] or int16, at the codec's rate to the bytes that they complete.

        Raises:
            CodecError: samples of another kind, not finite or far beyond full scale; the encoder is as before.
        """
        samples = floats(checked(samples))
        self._samples += len(samples)
        self._waiting = np.concatenate([self._waiting, samples])
        whole = len(self._waiting) // self.coder.hop * self.coder.hop
        if whole:
            frames, self._before = self._transform.analyse(self._before, self._waiting[:whole])
            self._frames, self._waiting = np.concatenate([self._frames, frames]), self._waiting[whole:].copy()
        size = self.header.packet_frames
        ready = len(self._frames) // (size * self._batch) * (size * self._batch)
        return self._start() + self._code(ready)

    def finish(self) -> bytes:
        """The remaining bytes, with the end mark if the header does not give the length."""
        samples = self._samples
        tail = -samples % self.coder.hop + self.coder.hop
        if self.header.samples is None:  # only whole packets then
            tail += -(samples + tail) // self.coder.hop % self.header.packet_frames * self.coder.hop
        elif samples != self.header.samples:
            raise CodecError(f"{samples} samples were pushed, but the header says {self.header.samples}")
        out = self.push(np.zeros(tail)) + self._code(len(self._frames))
        return out if self.header.samples is not None else out + container.write_end(samples)

    def _start(self) -> bytes:
        begun, self._begun = self._begun, True
        return b"" if begun else container.write_header(self.header)

    def _code(self, count: int) -> bytes:
        """Packets of the first `count` frames that wait."""
        size = self.header.packet_frames
        chosen, self._frames = self._frames[:count], self._frames[count:]
        packets = [chosen[start : start + size] for start in range(0, count, size)]
        if not packets:
            return b""
        if self.header.key_packets > 1 or self._control:
            return b"".join(self._next(packet) for packet in packets)
        payloads, decoded = self.coder.encode(packets)
        for packet, frames in zip(packets, decoded, strict=True):
            self._account(packet, frames)
        first, self._number = self._number, self._number + len(payloads)
        return b"".join(container.write_packet(number, payload) for number, payload in enumerate(payloads, first))

    def _account(self, packet: np.ndarray, frames: Decoded) -> None:
        """Add up what the errors of decoded frames are in samples; those beyond the recording's end are cut."""
        if not self._measure:
            return
        errors = packet - self._restoration.push(frames)
        audio, self._error_overlap = self._transform.synthesise(self._error_overlap, errors)
        start, self._error_samples = self._error_samples, self._error_samples + len(audio)
        end = len(audio) if self.header.samples is None else max(self.header.samples - start, 0)
        self.error += float(np.square(audio[max(-start, 0) : end]).sum())

    def _next(self, packet: np.ndarray) -> bytes:
        """A packet that continues the one before, unless it is a key packet."""
        number, self._number = self._number, self._number + 1
        if number % self.header.key_packets == 0:
            self._walk = self.coder.start()
        if self._control:
            return self._controlled(self._control, number, packet)
        (payload,), (decoded,) = self.coder.encode([packet], self._walk)
        self._account(packet, decoded)
        return container.write_packet(number, payload)

    def _controlled(self, control: RateControl, number: int, packet: np.ndarray) -> bytes:
        """The same at the step that fits; a packet that may hold nothing is empty, and the next one starts afresh."""

        def encode(step: int) -> Trial:
            walk = self._walk.copy()
            (payload,), _ = self.coder.encode([packet], walk, step)
            return Trial(container.write_packet(number, payload), walk)

        chosen = control.pick(encode) or Trial(container.write_packet(number, b""), self.coder.start())
        self._walk = chosen.walk
        return chosen.packet

"""Audio that arrives in pieces to packets that can be sent at once, with the waveform codec."""

import numpy as np

from telucodec.audio.samples import checked, floats
from telucodec.errors import CodecError
from telucodec.files import container
from telucodec.files.header import Header, write_header
from telucodec.mdct import ExactMDCT
from telucodec.waveform.dtx import RESUMES, PauseDetector
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
        self._pauses = PauseDetector(coder.scale.bands) if header.dtx else None
        self._resumes = False  # the packet before was left out
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
        return b"" if begun else write_header(self.header)

    def _code(self, count: int) -> bytes:
        """Packets of the first `count` frames that wait."""
        size = self.header.packet_frames
        chosen, self._frames = self._frames[:count], self._frames[count:]
        packets = [chosen[start : start + size] for start in range(0, count, size)]
        if not packets:
            return b""
        if self.header.key_packets > 1 or self._control or self._pauses:
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
        """A packet that continues the one before, unless it is a key packet or comes after a pause; nothing within a pause."""
        number, self._number = self._number, self._number + 1
        is_key = number % self.header.key_packets == 0
        mark = RESUMES if self._resumes and not is_key else b""
        if is_key:
            self._walk = self.coder.start()

        def encode(step: int | None = None) -> Trial:
            walk = self._walk.copy()
            (payload,), (decoded,) = self.coder.encode([packet], walk, step)
            return Trial(container.write_packet(number, payload + mark), walk, decoded)

        chosen = self._control.pick(encode) if self._control else encode()
        self._resumes = chosen is not None and self._pauses is not None and self._pauses.leaves_out(chosen.frames)
        if chosen is None or self._resumes:  # the next one starts afresh
            self._walk = self.coder.start()
            if self._control and self._resumes:
                self._control.left_out()
            return b"" if self._resumes else container.write_packet(number, b"")
        self._walk = chosen.walk
        self._account(packet, chosen.frames)
        return chosen.packet

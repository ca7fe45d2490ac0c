"""Audio that comes bit by bit to packets that can be sent at once, and packets to audio, with the waveform codec."""

import numpy as np
import torch

from codec import container
from codec.container import ContainerError, Header, Mode
from codec.mdct import ExactMDCT
from codec.samples import checked, floats
from codec.waveform.entropy import DamagedPacket
from codec.waveform.packets import WaveformPackets

Audio = np.ndarray
SIDE_BY_SIDE = 24  # packets of a file that are coded at once: more is hardly faster and takes more memory
MOST_BYTES, LONGEST = 9, 64  # a coefficient takes no more, escape code and all; beside them there is little
MOST_LOST_FRAMES = 1 << 18  # more than an hour: what a lenient decoder fills with silence for one file

Packet = tuple[int, bytes | None, int]  # number, payload (None: lost), frames


def packets_of(header: Header, hop: int, data: bytes, place: int, lenient: bool) -> tuple[int, list[Packet]]:
    """The number of samples of a file, and its packets."""
    size, frames = header.packet_frames, header.frames(hop)
    found = list(container.read_packets(data, place, header.packets(hop), lenient, MOST_LOST_FRAMES // size))
    if frames is not None:
        return header.samples, [(number, payload, min(size, frames - number * size)) for number, payload in found]
    ended = bool(found) and found[-1][0] == -1
    if not ended and not lenient:
        raise ContainerError("the stream has no end mark; lenient decodes what there is")
    packets = [(number, payload, size) for number, payload in found if number >= 0]
    most = max(len(packets) * size - 1, 0) * hop
    samples = container.read_end(found[-1][1]) if ended else most
    if samples > most:
        raise ContainerError(f"the stream's end mark tells of {samples} samples, its packets hold at most {most}")
    return samples, packets


class StreamEncoder:
    """Pushed samples come out as bytes of a `.tlc` stream; what `finish` returns ends it.

    A packet leaves as soon as its last frame's window is complete: with one frame a packet the algorithmic latency is two
    hops, 30 ms. All pushed together give the same bytes, however they were cut.
    """

    def __init__(self, coder: WaveformPackets, header: Header, batch: int = 1):
        self.coder, self.header = coder, header
        self._batch = batch  # independent packets to code side by side; more is faster and later
        self._transform = ExactMDCT(coder.hop)
        self._before = self._transform.silence()
        self._waiting = np.zeros(0)  # samples that do not fill a hop yet
        self._frames = torch.zeros(0, coder.hop, dtype=torch.float64)
        self._walk = coder.start()
        self._number, self._samples = 0, 0
        self._begun = False
        self._error_overlap = self._transform.silence()
        self._error_samples = -coder.hop  # the first hop lies before the recording
        self.error = 0.0  # squared error of the samples that a decoder could give so far

    def push(self, samples: Audio) -> bytes:
        """Samples [count], float in [-1, 1] or int16, at the codec's rate to the bytes that they complete.

        Raises:
            ValueError: samples of another kind, not finite or far beyond full scale; the encoder is as before.
        """
        samples = floats(checked(samples))
        self._samples += len(samples)
        self._waiting = np.concatenate([self._waiting, samples])
        whole = len(self._waiting) // self.coder.hop * self.coder.hop
        if whole:
            frames, self._before = self._transform.analyse(self._before, torch.from_numpy(self._waiting[:whole]))
            self._frames, self._waiting = torch.cat([self._frames, frames]), self._waiting[whole:].copy()
        size = self.header.packet_frames
        ready = len(self._frames) // (size * self._batch) * (size * self._batch)
        return self._start() + self._code(ready)

    def finish(self) -> bytes:
        """The bytes of all that is left, and of the end mark if the header does not tell the length."""
        samples = self._samples
        tail = -samples % self.coder.hop + self.coder.hop
        if self.header.samples is None:  # only whole packets then
            tail += -(samples + tail) // self.coder.hop % self.header.packet_frames * self.coder.hop
        elif samples != self.header.samples:
            raise ValueError(f"{samples} samples were pushed, the header says {self.header.samples}")
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
        if self.header.key_packets > 1:
            return b"".join(self._next(packet) for packet in packets)
        payloads, errors = self.coder.encode(packets)
        for error in errors:
            self._account(error)
        first, self._number = self._number, self._number + len(payloads)
        return b"".join(container.write_packet(number, payload) for number, payload in enumerate(payloads, first))

    def _account(self, frames: torch.Tensor) -> None:
        """Add up what frames [frames, hop] of errors are in samples; those beyond the recording's end are cut."""
        audio, self._error_overlap = self._transform.synthesise(self._error_overlap, frames)
        start, self._error_samples = self._error_samples, self._error_samples + len(audio)
        end = len(audio) if self.header.samples is None else max(self.header.samples - start, 0)
        self.error += float(audio[max(-start, 0) : end].square().sum())

    def _next(self, packet: torch.Tensor) -> bytes:
        """A packet that goes on from the one before."""
        if self._number % self.header.key_packets == 0:
            self._walk = self.coder.start()
        (payload,), (error,) = self.coder.encode([packet], self._walk)
        self._account(error)
        self._number += 1
        return container.write_packet(self._number - 1, payload)


class FrameDecoder:
    """Payloads of packets, in order, to audio; a lost one leaves silence, and its group is lost with it."""

    def __init__(self, coder: WaveformPackets, header: Header, lenient: bool):
        self.coder, self.header, self.lenient = coder, header, lenient
        self._transform = ExactMDCT(coder.hop)
        self._overlap = self._transform.silence()
        self._walk = coder.start()
        self._broken = False
        self._first = True

    def decode(self, numbers: list[int], payloads: list[bytes | None], counts: list[int]) -> Audio:
        """Payloads of consecutive packets with so many frames to the audio they complete."""
        if self.header.key_packets == 1:
            frames = self._independent(numbers, payloads, counts)
        else:
            frames = [self._dependent(*packet) for packet in zip(numbers, payloads, counts, strict=True)]
        audio, self._overlap = self._transform.synthesise(self._overlap, torch.cat(frames))
        # The first hop lies before the recording.
        start, self._first = self.coder.hop if self._first else 0, False
        return audio[start:].numpy()

    def _independent(self, numbers: list[int], payloads: list[bytes | None], counts: list[int]) -> list[torch.Tensor]:
        sound = [place for place, payload in enumerate(payloads) if payload is not None]
        frames = [torch.zeros(count, self.coder.hop, dtype=torch.float64) for count in counts]
        try:
            decoded = self._read([payloads[place] for place in sound], [counts[place] for place in sound])
        except DamagedPacket:
            if not self.lenient:
                raise
            return [
                frames[place] if payload is None else self._alone(payload, counts[place])
                for place, payload in enumerate(payloads)
            ]
        for place, read in zip(sound, decoded, strict=True):
            frames[place] = read
        return frames

    def _read(self, payloads: list[bytes], counts: list[int]) -> list[torch.Tensor]:
        return self.coder.decode(payloads, counts) if payloads else []

    def _alone(self, payload: bytes, count: int) -> torch.Tensor:
        try:
            return self._read([payload], [count])[0]
        except DamagedPacket:
            return torch.zeros(count, self.coder.hop, dtype=torch.float64)

    def _dependent(self, number: int, payload: bytes | None, count: int) -> torch.Tensor:
        if number % self.header.key_packets == 0:
            self._walk, self._broken = self.coder.start(), False
        if payload is not None and not self._broken:
            try:
                return self.coder.decode([payload], [count], self._walk)[0]
            except DamagedPacket:
                if not self.lenient:
                    raise
        self._broken = True
        return torch.zeros(count, self.coder.hop, dtype=torch.float64)


class StreamDecoder:
    """Pushed bytes of a `.tlc` stream come out as samples, as early as they can be known.

    A stream of unknown length is filled up to a whole packet; when it has `ended`, `samples` tells how many are the speech.
    """

    def __init__(self, codec):
        self._codec = codec
        self._data = bytearray()
        self._decoder: FrameDecoder | None = None
        self._number, self._given = 0, 0
        self.samples: int | None = None
        self.ended = False

    def push(self, data: bytes) -> Audio:
        """Bytes of the stream, cut anywhere, to float32 samples.

        Raises:
            ContainerError: a packet is damaged, or the stream is none this codec can read.
        """
        self._data += data
        if self._decoder is None and not self._begin():
            return np.zeros(0, np.float32)
        parts = [np.zeros(0)]
        while not self.ended and (packet := container.next_packet(self._data, self._number, self._longest)):
            number, payload, length = packet
            del self._data[:length]
            parts.append(self._decode(number, payload))
        return np.concatenate(parts).astype(np.float32)

    def _begin(self) -> bool:
        try:
            self.header, start = container.read_header(bytes(self._data))
        except ContainerError:
            if len(self._data) >= 64:
                raise
            return False
        if self.header.mode is not Mode.WAVEFORM:
            raise ContainerError("only waveform streams can be decoded as they come")
        self.samples = self.header.samples
        self._decoder = FrameDecoder(self._codec.waveform_coder(self.header), self.header, lenient=False)
        self._longest = LONGEST + MOST_BYTES * self.header.packet_frames * self._decoder.coder.hop
        del self._data[:start]
        return True

    def _decode(self, number: int, payload: bytes) -> Audio:
        hop, size = self._decoder.coder.hop, self.header.packet_frames
        if number == -1:
            self.samples, self.ended = container.read_end(payload), True
            return np.zeros(0)
        frames = self.header.frames(hop)
        count = size if frames is None else min(size, frames - number * size)
        self._number += 1
        audio = self._decoder.decode([number], [payload], [count])
        if self.header.samples is not None:
            audio = audio[: self.header.samples - self._given]
            self.ended = self._number == self.header.packets(hop)
        self._given += len(audio)
        return audio

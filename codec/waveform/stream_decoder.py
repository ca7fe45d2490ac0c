"""Packets of the waveform codec to audio, for whole files and for streams."""

import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np

from telucodec.errors import ContainerError, DamagedPacketError
from telucodec.files import container
from telucodec.files.header import Header, Mode, read_header
from telucodec.waveform.concealment import Synthesis
from telucodec.waveform.dtx import RESUMES, Background
from telucodec.waveform.packets import WaveformPackets
from telucodec.waveform.restoration import Decoded

MOST_BYTES = 9  # a coefficient takes no more, escape code included
LONGEST = 64  # bytes of a header, or of what a packet holds beside coefficients
MOST_LOST_SECONDS = 10  # a packet further ahead is none: of damaged ones, one in 2^24 / packets looks like one


class FrameDecoder:
    """Payloads of packets, in order, to audio; lost ones are concealed. With a packet the rest of its key period is lost.

    Where nothing was sent in a pause, there is comfort noise.
    """

    def __init__(self, coder: WaveformPackets, header: Header, lenient: bool):
        self.coder, self.header, self.lenient = coder, header, lenient
        self._walk, self._restoration, self._synthesis = coder.start(), coder.restoration(), Synthesis(coder.hop)
        self._background = Background() if header.dtx else None
        self._broken = False
        self._excused = lenient  # what broke it is no error
        self._first = True

    def decode(
        self, numbers: list[int], payloads: list[bytes | None], counts: list[int], given_up: bool = False
    ) -> np.ndarray:
        """Payloads of consecutive packets with so many frames to the audio they complete.

        Args:
            numbers: of the packets.
            payloads: None where there is none.
            counts: of frames.
            given_up: what is missing was given up; it may be, also where packets may not be lost.

        Raises:
            ContainerError: unless `lenient` or `given_up`, a packet is damaged, or missing outside of pauses.
        """
        if self.header.key_packets == 1:
            packets = self._independent(payloads, counts)
        else:
            excused = self.lenient or given_up
            packets = [self._dependent(*packet, excused) for packet in zip(numbers, payloads, counts, strict=True)]
        if self._background is not None:
            packets = [self._in_pauses(self._background, *packet) for packet in zip(packets, counts, strict=True)]
        parts = []
        for lost, group in itertools.groupby(
            zip(packets, payloads, numbers, counts, strict=True), lambda packet: packet[0] is None
        ):
            frames, sent, places, sizes = zip(*group, strict=True)
            if lost and None in sent and not (self.lenient or given_up):
                raise ContainerError(f"packet {places[sent.index(None)] + 1} is missing")
            parts.append(self._conceal(sum(sizes)) if lost else self._heard(frames))
        audio = np.concatenate(parts)
        # The first hop lies before the recording.
        start, self._first = self.coder.hop if self._first else 0, False
        return audio[start:]

    def _heard(self, frames: Iterable[Decoded]) -> np.ndarray:
        # One packet after the other: all at once would take 40 MB more.
        return np.concatenate([self._synthesis.push(self._restoration.push(packet)) for packet in frames])

    def _conceal(self, count: int) -> np.ndarray:
        self._restoration.skip(count * self.coder.hop)
        return self._synthesis.conceal(count)

    def _in_pauses(self, background: Background, frames: Decoded | None, count: int) -> Decoded | None:
        """What a packet holds, or comfort noise where it may have been left out."""
        if frames is None:
            return background.noise(count) if background.is_known else None
        background.push(frames)
        return frames

    def _independent(self, payloads: list[bytes | None], counts: list[int]) -> list[Decoded | None]:
        payloads = [None if self._is_empty(payload) else payload for payload in payloads]
        intact = [(payload, count) for payload, count in zip(payloads, counts, strict=True) if payload is not None]
        try:
            decoded = iter(self._read(intact))
        except DamagedPacketError:
            if not self.lenient:
                raise
            return [self._alone(*packet) for packet in zip(payloads, counts, strict=True)]
        return [None if payload is None else next(decoded) for payload in payloads]

    def _read(self, packets: list[tuple[bytes, int]]) -> list[Decoded]:
        if not packets:
            return []
        return self.coder.decode([payload for payload, _ in packets], [count for _, count in packets])

    def _alone(self, payload: bytes | None, count: int) -> Decoded | None:
        try:
            return None if payload is None else self._read([(payload, count)])[0]
        except DamagedPacketError:
            return None

    def _is_empty(self, payload: bytes | None) -> bool:
        """Whether the encoder had no bits for this packet."""
        return self.coder.own_steps and payload == b""

    def _dependent(self, number: int, payload: bytes | None, count: int, excused: bool) -> Decoded | None:
        resumes = self.header.dtx and payload is not None and payload.endswith(RESUMES)
        if resumes or number % self.header.key_packets == 0:
            self._walk, self._broken = self.coder.start(), False
        if self._is_empty(payload):
            self._walk, self._broken = self.coder.start(), False
            return None
        if payload is None:
            self._excused = excused
        elif not self._broken:
            try:
                return self.coder.decode([payload], [count], self._walk)[0]
            except DamagedPacketError:
                if not self.lenient:
                    raise
        elif not self._excused:
            raise ContainerError(f"packet {number} is missing")
        self._broken = True
        return None


class StreamDecoder:
    """Pushed bytes of a `.tlc` stream come out as samples as early as possible.

    Over a network that loses packets, make it lenient, push each packet as it comes, and call `conceal` when one is due and
    not there. In the pauses of a stream with `dtx`, which sends nothing then, `conceal` gives comfort noise. A stream of unknown
    length is filled up to a whole packet; when it has `ended`, `samples` says how many of them are speech.
    """

    def __init__(self, coder: Callable[[Header], WaveformPackets], lenient: bool = False):
        """`coder` gives what decodes the packets of a stream with this header; `lenient`: go on where packets are missing."""
        self._coder, self._lenient = coder, lenient
        self._data = bytearray()
        self._decoder: FrameDecoder | None = None
        self._searching = False  # what the data begins with is not, or not to become, the next packet
        self._number, self._given = 0, 0
        self.samples: int | None = None
        self.ended = False

    def push(self, data: bytes) -> np.ndarray:
        """Bytes of the stream, cut anywhere, to float32 samples.

        If lenient, packets that are missing before one of these are concealed, up to 10 s of them; one that comes after it was
        concealed is left out.

        Raises:
            ContainerError: the header is damaged, or the stream holds tokens; unless lenient, a packet is damaged or missing
                outside of pauses.
            ModelError: the stream was made with another model, or there is no waveform model.
        """
        self._data += data
        decoder = self._decoder or self._begun()
        if decoder is None:
            return np.zeros(0, np.float32)
        parts = [np.zeros(0)]
        while not self.ended and (packet := self._next(decoder)):
            parts.append(self._decode(decoder, *packet))
        return np.concatenate(parts).astype(np.float32)

    def conceal(self, packets: int = 1) -> np.ndarray:
        """Float32 samples in the place of the next packets, which are not waited for; none before the header or after the end.

        In a pause it is comfort noise.
        """
        if self._decoder is None or self.ended:
            return np.zeros(0, np.float32)
        self._searching = self._lenient and bool(self._data)
        return self._missing(self._decoder, self._number + packets, given_up=True).astype(np.float32)

    def _begun(self) -> FrameDecoder | None:
        """The decoder, once the header is there."""
        try:
            header, start = read_header(bytes(self._data))
        except ContainerError:
            if len(self._data) >= LONGEST:
                raise
            return None
        if header.mode is not Mode.WAVEFORM:
            raise ContainerError("only waveform streams can be decoded as they arrive")
        self.samples = header.samples
        self._decoder = FrameDecoder(self._coder(header), header, self._lenient)
        del self._data[:start]
        return self._decoder

    def _next(self, decoder: FrameDecoder) -> tuple[int, bytes] | None:
        """The number and payload of the next packet, once it is there."""
        header, hop = decoder.header, decoder.coder.hop
        count, most_lost = header.packets(hop), self._most_missing(header, hop)
        # No packet is longer, so a damaged length keeps nobody waiting.
        longest = LONGEST + MOST_BYTES * header.packet_frames * hop
        packet = None
        if not self._searching:
            try:
                packet = container.next_packet(self._data, self._number, count, longest, most_lost)
            except ContainerError:
                if not self._lenient:
                    raise
                self._searching = True
        if self._searching:
            packet = container.find_packet(self._data, self._number, count, most_lost)
            self._searching = packet is None
            if packet is None:
                del self._data[:-longest]
        if packet is None:
            return None
        number, payload, end = packet
        del self._data[:end]
        return number, payload

    def _most_missing(self, header: Header, hop: int) -> int:
        if not self._lenient:
            return header.most_left_out
        return round(MOST_LOST_SECONDS * header.sample_rate / hop / header.packet_frames)

    def _decode(self, decoder: FrameDecoder, number: int, payload: bytes) -> np.ndarray:
        if number >= 0:
            return np.concatenate([self._missing(decoder, number), self._output(decoder, [payload])])
        header, hop = decoder.header, decoder.coder.hop
        self.samples = container.read_end(payload)
        packets = container.stream_packets(self.samples, hop, header.packet_frames)
        last = self._missing(decoder, min(packets, self._number + self._most_missing(header, hop)))
        self.ended = True
        return last

    def _missing(self, decoder: FrameDecoder, number: int, given_up: bool = False) -> np.ndarray:
        """Audio in the place of packets before `number` that have not come."""
        return self._output(decoder, [None] * (number - self._number), given_up)

    def _output(self, decoder: FrameDecoder, payloads: list[bytes | None], given_up: bool = False) -> np.ndarray:
        """Audio of the next packets; those after the last one have none."""
        header, hop = decoder.header, decoder.coder.hop
        size, frames = header.packet_frames, header.frames(hop)
        first, end = self._number, self._number + len(payloads)
        if frames is not None:
            end = min(end, math.ceil(frames / size))
        if first >= end:
            return np.zeros(0)
        self._number, numbers = end, list(range(first, end))
        counts = [size if frames is None else min(size, frames - number * size) for number in numbers]
        audio = decoder.decode(numbers, payloads[: end - first], counts, given_up)
        if header.samples is not None:
            audio = audio[: header.samples - self._given]
            self.ended = end == header.packets(hop)
        self._given += len(audio)
        return audio

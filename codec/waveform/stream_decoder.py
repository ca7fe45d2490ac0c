"""Packets of the waveform codec to audio, for whole files and for streams."""

from collections.abc import Callable

import numpy as np

from telucodec.errors import ContainerError, DamagedPacketError
from telucodec.files import container
from telucodec.files.container import Header, Mode
from telucodec.mdct import ExactMDCT
from telucodec.waveform.packets import WaveformPackets
from telucodec.waveform.restoration import Decoded, joined, nothing

MOST_BYTES = 9  # a coefficient takes no more, escape code included
LONGEST = 64  # bytes of a header, or of what a packet holds beside coefficients


class FrameDecoder:
    """Payloads of packets, in order, to audio; a lost one leaves silence, and its group is lost with it."""

    def __init__(self, coder: WaveformPackets, header: Header, lenient: bool):
        self.coder, self.header, self.lenient = coder, header, lenient
        self._transform = ExactMDCT(coder.hop)
        self._overlap = self._transform.silence()
        self._walk, self._restoration = coder.start(), coder.restoration()
        self._broken = False
        self._first = True

    def decode(self, numbers: list[int], payloads: list[bytes | None], counts: list[int]) -> np.ndarray:
        """Payloads of consecutive packets with so many frames to the audio they complete."""
        if self.header.key_packets == 1:
            frames = self._independent(payloads, counts)
        else:
            frames = [self._dependent(*packet) for packet in zip(numbers, payloads, counts, strict=True)]
        audio, self._overlap = self._transform.synthesise(self._overlap, self._restoration.push(joined(frames)))
        # The first hop lies before the recording.
        start, self._first = self.coder.hop if self._first else 0, False
        return audio[start:]

    def _independent(self, payloads: list[bytes | None], counts: list[int]) -> list[Decoded]:
        intact = {place: payload for place, payload in enumerate(payloads) if payload is not None}
        frames = [nothing(count, self.coder.hop) for count in counts]
        try:
            decoded = self._read(list(intact.values()), [counts[place] for place in intact])
        except DamagedPacketError:
            if not self.lenient:
                raise
            return [
                frames[place] if payload is None else self._alone(payload, counts[place])
                for place, payload in enumerate(payloads)
            ]
        for place, read in zip(intact, decoded, strict=True):
            frames[place] = read
        return frames

    def _read(self, payloads: list[bytes], counts: list[int]) -> list[Decoded]:
        return self.coder.decode(payloads, counts) if payloads else []

    def _alone(self, payload: bytes, count: int) -> Decoded:
        try:
            return self._read([payload], [count])[0]
        except DamagedPacketError:
            return nothing(count, self.coder.hop)

    def _dependent(self, number: int, payload: bytes | None, count: int) -> Decoded:
        if number % self.header.key_packets == 0:
            self._walk, self._broken = self.coder.start(), False
        if payload is not None and not self._broken:
            try:
                return self.coder.decode([payload], [count], self._walk)[0]
            except DamagedPacketError:
                if not self.lenient:
                    raise
        self._broken = True
        return nothing(count, self.coder.hop)


class StreamDecoder:
    """Pushed bytes of a `.tlc` stream come out as samples as early as possible.

    A stream of unknown length is filled up to a whole packet; when it has `ended`, `samples` says how many of them are speech.
    """

    def __init__(self, coder: Callable[[Header], WaveformPackets]):
        """`coder` gives what decodes the packets of a stream with this header."""
        self._coder = coder
        self._data = bytearray()
        self._decoder: FrameDecoder | None = None
        self._number, self._given = 0, 0
        self.samples: int | None = None
        self.ended = False

    def push(self, data: bytes) -> np.ndarray:
        """Bytes of the stream, cut anywhere, to float32 samples.

        Raises:
            ContainerError: the header or a packet is damaged, a packet is missing, or the stream holds tokens.
            ModelError: the stream was made with another model, or there is no waveform model.
        """
        self._data += data
        decoder = self._decoder or self._begun()
        if decoder is None:
            return np.zeros(0, np.float32)
        # No packet is longer, so a damaged length keeps nobody waiting.
        longest = LONGEST + MOST_BYTES * decoder.header.packet_frames * decoder.coder.hop
        parts = [np.zeros(0)]
        while not self.ended and (packet := container.next_packet(self._data, self._number, longest)):
            number, payload, length = packet
            del self._data[:length]
            parts.append(self._decode(decoder, number, payload))
        return np.concatenate(parts).astype(np.float32)

    def _begun(self) -> FrameDecoder | None:
        """The decoder, once the header is there."""
        try:
            header, start = container.read_header(bytes(self._data))
        except ContainerError:
            if len(self._data) >= LONGEST:
                raise
            return None
        if header.mode is not Mode.WAVEFORM:
            raise ContainerError("only waveform streams can be decoded as they arrive")
        self.samples = header.samples
        self._decoder = FrameDecoder(self._coder(header), header, lenient=False)
        del self._data[:start]
        return self._decoder

    def _decode(self, decoder: FrameDecoder, number: int, payload: bytes) -> np.ndarray:
        header, hop = decoder.header, decoder.coder.hop
        if number == -1:
            self.samples, self.ended = container.read_end(payload), True
            return np.zeros(0)
        size, frames = header.packet_frames, header.frames(hop)
        count = size if frames is None else min(size, frames - number * size)
        self._number += 1
        audio = decoder.decode([number], [payload], [count])
        if header.samples is not None:
            audio = audio[: header.samples - self._given]
            self.ended = self._number == header.packets(hop)
        self._given += len(audio)
        return audio

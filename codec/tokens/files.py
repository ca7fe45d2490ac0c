"""Tokens to the bytes of a `.tlc` file and back."""

import io
from collections.abc import Callable, Iterator

import numpy as np

from telucodec.audio.spool import Samples
from telucodec.errors import CodecError, ContainerError, missed
from telucodec.files import container
from telucodec.files.header import Header, Mode, write_header
from telucodec.files.packets import Packet, side_by_side
from telucodec.tokens.engine import TokenEngine
from telucodec.tokens.packets import TokenPackets, largest


class TokenFiles:
    """Files of one model's tokens [num_codebooks, frames]; -1 stands where a frame uses fewer codebooks."""

    def __init__(self, engine: TokenEngine, model: bytes):
        """`model` is the id in the header of the files."""
        self.engine, self._model = engine, model

    @property
    def packet_frames(self) -> int:
        """Frames of a packet; the last packet of a file has the rest."""
        return round(container.PACKET_SECONDS * self.engine.sample_rate / self.engine.hop)

    def write(self, tokens: np.ndarray, samples: int | None) -> bytes:
        """The file of the tokens of a recording of so many samples; None: all that the frames hold.

        Raises:
            CodecError: recordings of that length have another number of frames.
        """
        if samples is None:
            samples = max(tokens.shape[1] - 1, 0) * self.engine.hop
        return self._written((tokens >= 0).sum(0), samples, len(tokens), lambda start, stop: tokens[:, start:stop])

    def bits(self, tokens: np.ndarray) -> np.ndarray:
        """Bits that each of tokens costs in a file."""
        starts = range(0, tokens.shape[1], self.packet_frames)  # packets know nothing of each other
        packets = np.split(tokens, starts[1:], axis=1)
        return np.concatenate([self.engine.coder.bits(packet) for packet in packets], axis=1)

    def encode(self, audio: Samples, num_codebooks: int, kbps: float | None, strict: bool) -> bytes:
        """The file of audio [samples], with so many codebooks for every frame, or at a rate.

        Raises:
            CodecError: the rate is out of reach, and `strict`.
        """
        if kbps is not None:
            return self._fitted(audio, num_codebooks, kbps, strict)
        rows = TokenPackets(self.engine, num_codebooks).coded(audio)
        used = np.full(len(rows), num_codebooks, np.int8)
        return self._written(used, len(audio), num_codebooks, lambda start, stop: rows[start:stop].T)

    def _written(
        self, used: np.ndarray, samples: int, num_codebooks: int, codes: Callable[[int, int], np.ndarray]
    ) -> bytes:
        """The file of a recording, packet by packet.

        Args:
            used: how many codebooks each frame [frames] uses, at most `num_codebooks`.
            codes: gives the codes [num_codebooks, frames] from one frame to another.

        Raises:
            CodecError: as `write`.
        """
        # Where all frames use all codebooks their number is not coded.
        mean = 0 if (used == num_codebooks).all() else max(round(used.mean()), 1)
        settings, size = (num_codebooks, mean), self.packet_frames
        header = Header(Mode.TOKENS, self._model, self.engine.sample_rate, samples, size, 1, settings)
        count, frames = len(used), header.frames(self.engine.hop)
        if count != frames:
            raise CodecError(f"a recording of {samples} samples has {frames} frames, but these tokens have {count}")
        coder = TokenPackets(self.engine, num_codebooks, mean)
        written = io.BytesIO(write_header(header))  # to join a list of packets would take them twice
        written.seek(0, io.SEEK_END)
        for number, start in enumerate(range(0, count, size)):
            payload = coder.pack(codes(start, min(start + size, count)))
            written.write(container.write_packet(number, payload))
        return written.getvalue()

    def _fitted(self, audio: Samples, num_codebooks: int, kbps: float, strict: bool) -> bytes:
        """Audio [samples] to the largest file of at most so many kbit/s, the codebooks shared out among its frames.

        If even a file without any tokens takes more, it is that, with a warning.

        Raises:
            CodecError: it does, and `strict`.
        """
        choices = TokenPackets(self.engine, num_codebooks).choices(audio)
        allowed = kbps * 1000 / 8 * max(len(audio), 1) / self.engine.sample_rate

        def encode_at(mean: float) -> bytes:
            used = choices.depths(mean)
            return self._written(used, len(audio), num_codebooks, lambda start, stop: choices.codes(used, start, stop))

        data = largest(encode_at, num_codebooks, allowed)
        if len(data) > allowed:
            missed(f"{kbps:g} kbps is out of reach: {allowed:.0f} bytes, a file without tokens has {len(data)}", strict)
        return data

    def read(self, header: Header, packets: list[Packet], lenient: bool) -> Iterator[np.ndarray]:
        """Packets to tokens [num_codebooks, frames], a stretch at a time.

        Args:
            lenient: tokens of silence for a packet that is damaged or missing.

        Raises:
            ContainerError: a packet is damaged, or the header does not fit the model.
        """
        try:
            coder = TokenPackets(self.engine, *header.settings)
        except CodecError as error:
            raise ContainerError(f"the header does not fit the model: {error}") from None
        yield np.zeros((coder.num_codebooks, 0), np.int64)
        for group in side_by_side(packets):
            yield from _unpacked(coder, group, lenient)


def _unpacked(coder: TokenPackets, packets: list[Packet], lenient: bool) -> list[np.ndarray]:
    """Of each packet its codes [num_codebooks, frames], or those of silence."""
    intact = [(payload, frames) for _, payload, frames in packets if payload is not None]
    try:
        payloads, frames = map(list, zip(*intact, strict=True)) if intact else ([], [])
        codes = iter(coder.unpack(payloads, frames))
    except ContainerError:
        if not lenient:
            raise
        if len(packets) > 1:
            return [codes for packet in packets for codes in _unpacked(coder, [packet], lenient)]
        return [coder.silence(packets[0][2])]
    return [coder.silence(frames) if payload is None else next(codes) for _, payload, frames in packets]

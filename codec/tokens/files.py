"""Tokens to the bytes of a `.tlc` file and back."""

import numpy as np

from telucodec.audio.spool import Samples
from telucodec.errors import CodecError, ContainerError, missed
from telucodec.files import container
from telucodec.files.container import Header, Mode
from telucodec.files.packets import SIDE_BY_SIDE, Packet
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

    def write(self, tokens: np.ndarray, samples: int) -> bytes:
        """The file of the tokens of a recording of so many samples.

        Raises:
            CodecError: recordings of that length have another number of frames.
        """
        used = (tokens >= 0).sum(0)
        # Where all frames use all codebooks their number is not coded.
        mean = 0 if (used == len(tokens)).all() else max(round(used.mean()), 1)
        settings, size = (len(tokens), mean), self.packet_frames
        header = Header(Mode.TOKENS, self._model, self.engine.sample_rate, samples, size, 1, settings)
        count, frames = tokens.shape[1], header.frames(self.engine.hop)
        if count != frames:
            raise CodecError(f"a recording of {samples} samples has {frames} frames, but these tokens have {count}")
        coder = TokenPackets(self.engine, len(tokens), mean)
        packets = (coder.pack(tokens[:, start : start + size]) for start in range(0, count, size))
        written = (container.write_packet(number, payload) for number, payload in enumerate(packets))
        return container.write_header(header) + b"".join(written)

    def fitted(self, audio: Samples, num_codebooks: int, kbps: float, strict: bool) -> bytes:
        """Audio [samples] to the largest file of at most so many kbit/s, the codebooks shared out among its frames.

        If even a file without any tokens takes more, it is that, with a warning.

        Raises:
            CodecError: it does, and `strict`.
        """
        choices = TokenPackets(self.engine, num_codebooks).choices(audio)
        allowed = kbps * 1000 / 8 * max(len(audio), 1) / self.engine.sample_rate
        data = largest(lambda mean: self.write(choices.codes(mean), len(audio)), num_codebooks, allowed)
        if len(data) > allowed:
            missed(f"{kbps:g} kbps is out of reach: {allowed:.0f} bytes, a file without tokens has {len(data)}", strict)
        return data

    def read(self, header: Header, packets: list[Packet], lenient: bool) -> np.ndarray:
        """Packets to tokens [num_codebooks, frames]; lenient: those of silence for a packet that is damaged or missing.

        Raises:
            ContainerError: a packet is damaged, or the header does not fit the model.
        """
        try:
            coder = TokenPackets(self.engine, *header.settings)
        except CodecError as error:
            raise ContainerError(f"the header does not fit the model: {error}") from None
        tokens = [np.zeros((coder.num_codebooks, 0), np.int64)]
        for start in range(0, len(packets), SIDE_BY_SIDE):
            tokens += _unpacked(coder, packets[start : start + SIDE_BY_SIDE], lenient)
        return np.concatenate(tokens, axis=1)


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

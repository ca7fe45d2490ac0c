"""Tokens to the bytes of a `.tlc` file and back."""

import numpy as np

from codec import container
from codec.container import ContainerError, Header, Mode
from codec.streaming import SIDE_BY_SIDE, Packet
from codec.token_packets import TokenPackets, largest
from codec.tokens.engine import TokenEngine


class TokenFiles:
    """Files of one model's tokens [levels, frames]; -1 stands where a frame uses fewer levels."""

    def __init__(self, engine: TokenEngine, model: bytes, sample_rate: int):
        """`model` is what the files' headers say of it."""
        self.engine, self._model, self._sample_rate = engine, model, sample_rate

    @property
    def packet_frames(self) -> int:
        """Frames of a packet; the last of a file has as many as are left."""
        return round(container.PACKET_SECONDS * self._sample_rate / self.engine.hop)

    def write(self, tokens: np.ndarray, samples: int) -> bytes:
        """Tokens of a recording of so many samples to a file.

        Raises:
            ValueError: recordings of that length have another number of frames.
        """
        used = (tokens >= 0).sum(0)
        # Where all frames use all levels there is nothing to tell about their number.
        mean = 0 if (used == len(tokens)).all() else max(round(used.mean()), 1)
        settings, size = (len(tokens), mean), self.packet_frames
        header = Header(Mode.TOKENS, self._model, self._sample_rate, samples, size, 1, settings)
        count, frames = tokens.shape[1], header.frames(self.engine.hop)
        if count != frames:
            raise ValueError(f"a recording of {samples} samples has {frames} frames, these tokens have {count}")
        coder = TokenPackets(self.engine, *header.settings)
        packets = (coder.pack(tokens[:, start : start + size]) for start in range(0, count, size))
        written = (container.write_packet(number, payload) for number, payload in enumerate(packets))
        return container.write_header(header) + b"".join(written)

    def fitted(self, audio: np.ndarray, levels: int, kbps: float) -> bytes:
        """Audio [samples] to the largest file of at most so many kbit/s, the levels shared out among its frames.

        Raises:
            ValueError: a file without any tokens takes more.
        """
        choices = TokenPackets(self.engine, levels).choices(audio)
        allowed = kbps * 1000 / 8 * max(len(audio), 1) / self._sample_rate
        try:
            return largest(lambda mean: self.write(choices.codes(mean), len(audio)), levels, allowed)
        except ValueError as error:
            raise ValueError(f"{kbps} kbps: {error}") from None

    def read(self, header: Header, packets: list[Packet], lenient: bool) -> np.ndarray:
        """Packets to tokens [levels, frames]; lenient: those of silence where one is damaged or missing.

        Raises:
            ContainerError: a packet is damaged, or the header is not one of this model.
        """
        try:
            coder = TokenPackets(self.engine, *header.settings)
        except ValueError as error:
            raise ContainerError(f"the header does not fit the model: {error}") from None
        tokens = [np.zeros((coder.levels, 0), np.int64)]
        for start in range(0, len(packets), SIDE_BY_SIDE):
            tokens += _unpacked(coder, packets[start : start + SIDE_BY_SIDE], lenient)
        return np.concatenate(tokens, axis=1)


def _unpacked(coder: TokenPackets, packets: list[Packet], lenient: bool) -> list[np.ndarray]:
    """Of each packet its codes [levels, frames], or those of silence."""
    sound = [(payload, frames) for _, payload, frames in packets if payload is not None]
    try:
        found = iter(coder.unpack(*map(list, zip(*sound, strict=True)))) if sound else iter(())
    except ContainerError:
        if not lenient:
            raise
        if len(packets) > 1:
            return [codes for packet in packets for codes in _unpacked(coder, [packet], lenient)]
        return [coder.silence(packets[0][2])]
    return [coder.silence(frames) if payload is None else next(found) for _, payload, frames in packets]

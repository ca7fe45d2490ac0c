"""The header of a `.tlc` file: what a decoder must know before the first packet. docs/format.md describes it byte by byte."""

import math
import zlib
from dataclasses import dataclass
from enum import IntEnum

from telucodec.errors import ContainerError
from telucodec.files.varint import exactly, read_varint, varint

MAGIC = b"TLC"
VERSION = 2
OWN_STEPS, DTX = 32, 64  # in the byte of the shaping
MOST_LEFT_OUT = 15  # packets in a row, in the pauses of a stream that leaves them out (discontinuous transmission)
MAX_SAMPLES = 1 << 40
MAX_PACKET_FRAMES = 4096
MAX_KEY_PACKETS = 4096


class Mode(IntEnum):
    TOKENS = 0
    WAVEFORM = 1


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first packet."""

    mode: Mode
    model: bytes  # first 4 bytes of the SHA-256 of the weights
    sample_rate: int  # Hz, a multiple of 1000 up to 255000
    samples: int | None  # exact length; None: known at the end of the stream
    packet_frames: int  # frames of a packet; the last of a file of known length has as many as are left
    key_packets: int  # packets from one that is decodable by itself to the next
    settings: tuple[int, ...]  # waveform: step, shaping; tokens: most codebooks of a frame, their mean or 0
    own_steps: bool = False  # waveform: each packet has its own step; that of the settings is where they start from
    dtx: bool = False  # waveform, with shaping, of unknown length: packets are left out in pauses

    def __post_init__(self) -> None:
        allowed = {
            Mode.WAVEFORM: (range(1 << 10), range(17)),
            Mode.TOKENS: (range(1, 33), range(33)),
        }[self.mode]
        checks = (
            ("model id", len(self.model) == 4, self.model),
            ("sample rate", self.sample_rate % 1000 == 0 and 0 < self.sample_rate <= 255_000, self.sample_rate),
            ("number of samples", self.samples is None or 0 <= self.samples < MAX_SAMPLES, self.samples),
            ("frames a packet", 1 <= self.packet_frames <= MAX_PACKET_FRAMES, self.packet_frames),
            ("packets a key", 1 <= self.key_packets <= MAX_KEY_PACKETS, self.key_packets),
            ("own steps", not self.own_steps or self.mode is Mode.WAVEFORM, self.own_steps),
            (
                "dtx",
                not self.dtx or (self.mode is Mode.WAVEFORM and self.samples is None and any(self.settings[1:])),
                self.dtx,
            ),
            ("settings", len(self.settings) == len(allowed), self.settings),
            (
                "settings",
                all(value in valid for value, valid in zip(self.settings, allowed, strict=False)),
                self.settings,
            ),
        )
        for name, fine, value in checks:
            if not fine:
                raise ContainerError(f"{name} {value!r} is outside what the format allows")

    @property
    def most_left_out(self) -> int:
        """Packets that may be missing in a row though nothing was lost."""
        return MOST_LEFT_OUT if self.dtx else 0

    def frames(self, hop: int) -> int | None:
        """Number of frames of `hop` samples; None for a stream of unknown length."""
        return None if self.samples is None else math.ceil(self.samples / hop) + 1

    def packets(self, hop: int) -> int | None:
        """Number of packets; None for a stream of unknown length."""
        frames = self.frames(hop)
        return None if frames is None else math.ceil(frames / self.packet_frames)


def write_header(header: Header) -> bytes:
    """The header's bytes."""
    body = bytearray(MAGIC + bytes([VERSION, header.mode]) + header.model)
    body.append(header.sample_rate // 1000)
    body += varint(0 if header.samples is None else header.samples + 1)
    body += varint(header.packet_frames) + varint(header.key_packets)
    if header.mode is Mode.WAVEFORM:
        step, shaping = header.settings
        body += step.to_bytes(2, "big") + bytes([shaping | OWN_STEPS * header.own_steps | DTX * header.dtx])
    else:
        body += bytes(header.settings)
    return bytes(body) + (zlib.crc32(body) & 0xFFFF).to_bytes(2, "big")


def read_header(data: bytes) -> tuple[Header, int]:
    """The header at the start of `data`, and where the packets begin.

    Raises:
        ContainerError: the data is not a .tlc file, has another version, ends early, or is damaged.
    """
    if data[:3] != MAGIC:
        raise ContainerError(f"not a .tlc file: it starts with {bytes(data[:4])!r}")
    try:
        if data[3] != VERSION:
            raise ContainerError(f"format version {data[3]} is not supported; this software reads version {VERSION}")
        samples, place = read_varint(data, 10)
        packet_frames, place = read_varint(data, place)
        key_packets, place = read_varint(data, place)
        width = 3 if data[4] == Mode.WAVEFORM else 2
        stored = int.from_bytes(exactly(data, place + width, 2), "big")
        if zlib.crc32(data[: place + width]) & 0xFFFF != stored:
            raise ContainerError("the header is damaged (its checksum does not fit)")
        values, flags = tuple(data[place : place + width]), 0
        if width == 3:
            flags = values[2] & (OWN_STEPS | DTX)
            values = 256 * values[0] + values[1], values[2] - flags
        header = Header(
            mode=Mode(data[4]),
            model=bytes(data[5:9]),
            sample_rate=data[9] * 1000,
            samples=samples - 1 if samples else None,
            packet_frames=packet_frames,
            key_packets=key_packets,
            settings=values,
            own_steps=bool(flags & OWN_STEPS),
            dtx=bool(flags & DTX),
        )
    except IndexError:
        raise ContainerError(f"the file ends within its header, after {len(data)} bytes") from None
    except ValueError as error:
        raise ContainerError(str(error)) from None
    return header, place + width + 2

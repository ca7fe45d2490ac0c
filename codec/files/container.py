"""The `.tlc` file: a header, then packets with a checksum each. docs/format.md describes it byte by byte.

This module turns bytes into headers and packets and back; it depends on no codec. A reader that loses its place finds it again:
a packet starts with a marker, and its checksum tells its number.
"""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from telucodec.errors import ContainerError

MAGIC = b"TLC"
VERSION = 2
MARKER = 0xA5
NUMBER_FACTOR = 0x9E3779 | 1  # odd, so that a number can be computed from a checksum modulo 2^24
NUMBER_INVERSE = pow(NUMBER_FACTOR, -1, 1 << 24)
MOST_LOST = 4096  # packets of a file that a lenient reader replaces by default
PACKET_SECONDS = 2.0  # a packet decodes by itself; a longer one costs fewer bits and loses more when it is damaged
OWN_STEPS, DTX = 32, 64  # in the byte of the shaping
MOST_LEFT_OUT = 15  # packets in a row, in the pauses of a stream that leaves them out (discontinuous transmission)
MAX_SAMPLES = 1 << 40
MAX_PACKET_FRAMES = 4096
MAX_KEY_PACKETS = 4096
MAX_PAYLOAD = 1 << 21
SEARCH_FACTOR = 64  # bytes checked in search of a packet, in multiples of the file's size


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


def stream_packets(samples: int, hop: int, packet_frames: int) -> int:
    """Packets of a stream of unknown length that turns out to have so many samples: whole ones only."""
    return math.ceil((math.ceil(samples / hop) + 1) / packet_frames)


def write_header(header: Header) -> bytes:
    """The header's bytes."""
    body = bytearray(MAGIC + bytes([VERSION, header.mode]) + header.model)
    body.append(header.sample_rate // 1000)
    body += _varint(0 if header.samples is None else header.samples + 1)
    body += _varint(header.packet_frames) + _varint(header.key_packets)
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
        samples, place = _read_varint(data, 10)
        packet_frames, place = _read_varint(data, place)
        key_packets, place = _read_varint(data, place)
        width = 3 if data[4] == Mode.WAVEFORM else 2
        stored = int.from_bytes(_exactly(data, place + width, 2), "big")
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


def write_packet(number: int, payload: bytes) -> bytes:
    """A packet's bytes: marker, length, checksum, payload."""
    checksum = (zlib.crc32(payload) + (number + 1) * NUMBER_FACTOR) & 0xFFFFFF
    return bytes([MARKER]) + _varint(len(payload)) + checksum.to_bytes(3, "big") + payload


def write_end(samples: int) -> bytes:
    """What ends a stream of unknown length: packet number -1 with the number of samples."""
    return write_packet(-1, _varint(samples))


def read_packets(
    data: bytes,
    place: int,
    count: int | None,
    lenient: bool = False,
    most_lost: int = MOST_LOST,
    most_left_out: int = 0,
) -> Iterator[tuple[int, bytes | None]]:
    """Numbers and payloads of the packets from `place` on; the payload of one that is lost or left out is None.

    A stream of unknown length (`count` None) ends with number -1 and the payload of its end mark. In a row, `most_left_out`
    packets do not count as lost.

    Raises:
        ContainerError: unless `lenient`, a packet is damaged or missing, or bytes follow the last one; with `lenient`, more
            than `most_lost` packets are missing, so that a short file with an absurd header fills neither memory nor disk.
    """
    expected, lost, budget = 0, 0, SEARCH_FACTOR * (len(data) + 1)
    while count is None or expected < count:
        packet = _packet_at(data, place)
        if packet is None or not _follows(packet[0], expected, count, most_lost if lenient else most_left_out):
            if not lenient:
                raise ContainerError(_damage(data, place, expected, count))
            packet, place, budget = _search(data, place + 1, expected, count, most_lost, budget)
            if packet is None:
                break
        number, payload, place = packet
        if number == -1:
            yield -1, payload
            return
        lost += max(number - expected - most_left_out, 0)
        _check_lost(lost, most_lost)
        yield from ((missing, None) for missing in range(expected, number))
        yield number, payload
        expected = number + 1
    if count is not None:
        _check_lost(lost + count - expected, most_lost)
        yield from ((missing, None) for missing in range(expected, count))
        if place < len(data) and not lenient:
            raise ContainerError(f"{len(data) - place} bytes follow the last packet, from byte {place} on")


def _check_lost(lost: int, most_lost: int) -> None:
    if lost > most_lost:
        raise ContainerError(f"{lost} packets are missing, more than the {most_lost} that can be replaced by silence")


def next_packet(
    data: bytes | bytearray, expected: int, count: int | None, longest: int = MAX_PAYLOAD, most_lost: int = 0
) -> tuple[int, bytes, int] | None:
    """Number, payload and length of the packet at the start of `data`; None if more bytes have to come first.

    Args:
        data: what has come and was not read yet.
        expected: the number of the next packet.
        count: of all packets; None: an end mark, of number -1, comes last.
        longest: bytes of a payload, at most: so a damaged length does not block a stream.
        most_lost: packets that may be missing before this one.

    Raises:
        ContainerError: the packet is damaged, or not one that may follow.
    """
    sound = not data or data[0] == MARKER
    if sound:
        try:
            length, start = _read_varint(data, 1)
        except IndexError:
            return None
        sound = length <= longest
        if sound and start + 3 + length > len(data):
            return None
    packet = _packet_at(data, 0) if sound else None
    if packet is None or not _follows(packet[0], expected, count, most_lost):
        raise ContainerError(f"packet {expected + 1} of the stream is damaged")
    return packet


def find_packet(
    data: bytes | bytearray, expected: int, count: int | None, most_lost: int
) -> tuple[int, bytes, int] | None:
    """Number, payload and end of the first whole packet anywhere in `data` that may follow; arguments as in `next_packet`."""
    place = data.find(MARKER)
    while place >= 0:
        packet = _packet_at(data, place)
        if packet is not None and _follows(packet[0], expected, count, most_lost):
            return packet
        place = data.find(MARKER, place + 1)
    return None


def _packet_at(data: bytes | bytearray, place: int) -> tuple[int, bytes, int] | None:
    """The number, payload and end of the packet at a place, if there is one."""
    try:
        if data[place] != MARKER:
            return None
        length, start = _read_varint(data, place + 1)
        payload = _exactly(data, start + 3, length) if length <= MAX_PAYLOAD else None
    except (IndexError, ValueError):
        return None
    if payload is None:
        return None
    checksum = int.from_bytes(data[start : start + 3], "big")
    number = ((checksum - zlib.crc32(payload)) * NUMBER_INVERSE) % (1 << 24) - 1
    return number, payload, start + 3 + length


def _follows(number: int, expected: int, count: int | None, most_lost: int) -> bool:
    if number == -1:
        return count is None
    return expected <= number <= expected + most_lost and (count is None or number < count)


def _search(
    data: bytes, place: int, expected: int, count: int | None, most_lost: int, budget: int
) -> tuple[tuple[int, bytes, int] | None, int, int]:
    """The next packet that may follow; gives up when `budget` bytes have been checked in vain."""
    while budget > 0:
        place = data.find(MARKER, place)
        if place < 0:
            break
        packet = _packet_at(data, place)
        if packet is not None:
            if _follows(packet[0], expected, count, most_lost):
                return packet, place, budget
            budget -= len(packet[1])
        budget -= 1
        place += 1
    return None, len(data), budget


def _damage(data: bytes, place: int, expected: int, count: int | None) -> str:
    which = f"packet {expected + 1}" + (f" of {count}" if count is not None else "")
    if place >= len(data):
        return f"the file ends before {which}, after {len(data)} bytes"
    return f"{which}, at byte {place}, is damaged; --lenient decodes what is sound"


def _varint(value: int) -> bytes:
    """Unsigned LEB128: seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_end(payload: bytes) -> int:
    """The number of samples in an end mark's payload."""
    try:
        samples, end = _read_varint(payload, 0)
    except IndexError:
        end = -1
    if end != len(payload) or samples >= MAX_SAMPLES:
        raise ContainerError("the stream's end mark is damaged")
    return samples


def _read_varint(data: bytes | bytearray, place: int) -> tuple[int, int]:
    value = 0
    for position in range(6):
        byte = data[place + position]
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, place + position + 1
    raise ContainerError(f"the number at byte {place} is too long")


def _exactly(data: bytes | bytearray, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise IndexError
    return bytes(data[start : start + length])

"""The packets of a `.tlc` file, with a checksum each, behind its header. docs/format.md describes them byte by byte.

This module turns bytes into packets and back; it depends on no codec. A reader that loses its place finds it again:
a packet starts with a marker, and its checksum tells its number.
"""

import math
import zlib
from collections.abc import Iterator

from telucodec.errors import ContainerError
from telucodec.files.header import MAX_SAMPLES
from telucodec.files.varint import exactly, read_varint, varint

MARKER = 0xA5
NUMBER_FACTOR = 0x9E3779 | 1  # odd, so that a number can be computed from a checksum modulo 2^24
NUMBER_INVERSE = pow(NUMBER_FACTOR, -1, 1 << 24)
MOST_LOST = 4096  # packets of a file that a lenient reader replaces by default
PACKET_SECONDS = 2.0  # a packet decodes by itself; a longer one costs fewer bits and loses more when it is damaged
MAX_PAYLOAD = 1 << 21
SEARCH_FACTOR = 64  # bytes checked in search of a packet, in multiples of the file's size

Packet = tuple[int, bytes, int]  # number, payload, place of the next one


def stream_packets(samples: int, hop: int, packet_frames: int) -> int:
    """Packets of a stream of unknown length that turns out to have so many samples: whole ones only."""
    return math.ceil((math.ceil(samples / hop) + 1) / packet_frames)


def write_packet(number: int, payload: bytes) -> bytes:
    """A packet's bytes: marker, length, checksum, payload."""
    checksum = (zlib.crc32(payload) + (number + 1) * NUMBER_FACTOR) & 0xFFFFFF
    return bytes([MARKER]) + varint(len(payload)) + checksum.to_bytes(3, "big") + payload


def write_end(samples: int) -> bytes:
    """What ends a stream of unknown length: packet number -1 with the number of samples."""
    return write_packet(-1, varint(samples))


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
        if lenient and packet[0] > expected:
            packet, budget = _credible(data, packet, place, expected, count, most_lost, budget)
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
) -> Packet | None:
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
            length, start = read_varint(data, 1)
        except IndexError:
            return None
        sound = length <= longest
        if sound and start + 3 + length > len(data):
            return None
    packet = _packet_at(data, 0) if sound else None
    if packet is None or not _follows(packet[0], expected, count, most_lost):
        raise ContainerError(f"packet {expected + 1} of the stream is damaged")
    return packet


def find_packet(data: bytes | bytearray, expected: int, count: int | None, most_lost: int) -> Packet | None:
    """Number, payload and end of the first whole packet anywhere in `data` that may follow; arguments as in `next_packet`."""
    place = data.find(MARKER)
    while place >= 0:
        packet = _packet_at(data, place)
        if packet is not None and _follows(packet[0], expected, count, most_lost):
            return packet
        place = data.find(MARKER, place + 1)
    return None


def _packet_at(data: bytes | bytearray, place: int) -> Packet | None:
    """The number, payload and end of the packet at a place, if there is one."""
    try:
        if data[place] != MARKER:
            return None
        length, start = read_varint(data, place + 1)
        payload = exactly(data, start + 3, length) if length <= MAX_PAYLOAD else None
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
) -> tuple[Packet | None, int, int]:
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


def _credible(
    data: bytes, packet: Packet, place: int, expected: int, count: int | None, most_lost: int, budget: int
) -> tuple[Packet, int]:
    """The packet at `place`, behind a gap, or a later one that contradicts it.

    A damaged packet may look like one far ahead: then the next that may follow has a lower number. Were it believed, none behind
    it would follow.
    """
    while packet[0] > expected:
        later, place, budget = _search(data, place + 1, expected, count, most_lost, budget)
        if later is None or not expected <= later[0] <= packet[0]:
            break
        packet = later
    return packet, budget


def _damage(data: bytes, place: int, expected: int, count: int | None) -> str:
    which = f"packet {expected + 1}" + (f" of {count}" if count is not None else "")
    if place >= len(data):
        return f"the file ends before {which}, after {len(data)} bytes"
    return f"{which}, at byte {place}, is damaged; --lenient decodes what is sound"


def read_end(payload: bytes) -> int:
    """The number of samples in an end mark's payload."""
    try:
        samples, end = read_varint(payload, 0)
    except IndexError:
        end = -1
    if end != len(payload) or samples >= MAX_SAMPLES:
        raise ContainerError("the stream's end mark is damaged")
    return samples

"""What the header of a FLAC file states, beside what its frames say of themselves (RFC 9639, sections 8 and 9)."""

from typing import BinaryIO

from telucodec.errors import AudioError

STREAM_INFO = 34  # bytes
MOST_BLOCKS = 1000  # of metadata; more are not looked at
TAIL = 1 << 16  # bytes at the end of a file in which its last frame is looked for
SYNC = b"\xff\xf8", b"\xff\xf9"  # of frames with a number each, and of those with the number of their first sample


def has_more(file: BinaryIO, size: int) -> bool:
    """Whether a FLAC file of `size` bytes has more samples than its header states, of which libsndfile reads no more.

    Raises:
        AudioError: it has several headers, which differ: the decoders believe different ones.
    """
    headers, place = _headers(file)
    if len(set(headers)) > 1:
        raise AudioError("several headers (STREAMINFO) that differ; convert it to WAV with a program that plays it")
    total = int.from_bytes(headers[0][10:18], "big") & ((1 << 36) - 1) if headers else 0
    return total > 0 and _last_sample(file, size, place, int.from_bytes(headers[0][2:4], "big")) > total


def _headers(file: BinaryIO) -> tuple[list[bytes], int]:
    """The contents of all STREAMINFO blocks, and where the frames begin."""
    found, place, is_last = [], 4, False
    for _ in range(MOST_BLOCKS):
        file.seek(place)
        head = file.read(4)
        if is_last or len(head) < 4:
            break
        kind, is_last = head[0] & 0x7F, bool(head[0] >> 7)
        length = int.from_bytes(head[1:], "big")
        if kind == 0 and length == STREAM_INFO:
            found.append(file.read(STREAM_INFO))
        place += 4 + length
    return found, place


def _last_sample(file: BinaryIO, size: int, first: int, longest: int) -> int:
    """The number of the sample after the last frame that begins in the tail; 0 if none does.

    Args:
        first: the place of the first frame. The others have its rate, channels and bits.
        longest: samples of each frame where frames are numbered.
    """
    file.seek(first)
    same = file.read(4)
    file.seek(max(first, size - TAIL))
    tail = file.read()
    place = len(tail)
    while len(same) == 4 and same[:2] in SYNC and (place := tail.rfind(same[:2], 0, place)) >= 0:
        head = tail[place : place + 16]
        if len(head) > 5 and head[2] & 15 == same[2] & 15 and head[3] == same[3] and (end := _end(head, longest)):
            return end
    return 0


def _end(head: bytes, longest: int) -> int | None:
    """The number of the sample after a frame that begins with these bytes; None if that is no frame."""
    width = max(8 - (head[4] ^ 0xFF).bit_length(), 1)  # of a number that is written as UTF-8 writes characters
    number = head[4] & (0x7F if width == 1 else 0x7F >> width)
    for byte in head[5 : 4 + width]:
        number = number << 6 | byte & 0x3F
    code, place = head[2] >> 4, 4 + width
    block = {1: 192}.get(code, 576 << (code - 2) if 2 <= code <= 5 else 256 << (code - 8) if code >= 8 else 0)
    if code in (6, 7):
        block = int.from_bytes(head[place : place + code - 5], "big") + 1
        place += code - 5
    place += {12: 1, 13: 2, 14: 2}.get(head[2] & 15, 0)  # of a rate that has no code
    if not block or place >= len(head) or _checksum(head[:place]) != head[place]:
        return None
    return (number if head[1] & 1 else number * longest) + block


def _checksum(content: bytes) -> int:
    """CRC-8 with the polynomial x^8 + x^2 + x + 1."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (0x07 if value & 0x80 else 0)) & 0xFF
    return value

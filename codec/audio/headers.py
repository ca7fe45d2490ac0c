"""What the first bytes of a file say it is, whatever its name says. A size in a header is a hint, never a length."""

import codecs
import struct
from typing import BinaryIO, NamedTuple

HEAD = 512  # bytes that are looked at
UNKNOWN_SIZE = 0x7FFF0000  # sizes from here on, and 0, mean that whoever wrote the header did not know
BUFFER = 1 << 14  # bytes that libFLAC may have read ahead
FOLLOWS = 4096  # bytes behind the samples that are no chunk: more of them are samples, which the header does not count
BY_FFMPEG = (b"ID3", b"OggS", b"\x1aE\xdf\xa3")  # MP3, Ogg and Matroska: libsndfile misreads the first two at times
OTHERS = {
    b"version https://git-lfs": ("a Git LFS pointer, not the recording; fetch it with `git lfs pull`", "pointer"),
    b"PK\x03\x04": ("a ZIP archive, not a recording; unpack it", "not_audio"),
    b"\x1f\x8b": ("a gzip archive, not a recording; unpack it", "not_audio"),
    b"Rar!": ("a RAR archive, not a recording; unpack it", "not_audio"),
    b"7z\xbc\xaf": ("a 7z archive, not a recording; unpack it", "not_audio"),
    b"%PDF": ("a PDF document, not a recording", "not_audio"),
    b"\x89PNG": ("a PNG picture, not a recording", "not_audio"),
    b"\xff\xd8\xff": ("a JPEG picture, not a recording", "not_audio"),
}


class Riff(NamedTuple):
    """The samples of a WAV file in bytes: as many as its header promises, and as many as can be there."""

    promised: int
    present: int


def other_kind(head: bytes) -> tuple[str, str] | None:
    """What a file is that is certainly no recording, and a short name for the reason; None if it may be one."""
    return next((what for magic, what in OTHERS.items() if head.startswith(magic)), None)


def is_for_ffmpeg(head: bytes) -> bool:
    """Whether a file is of a kind that libsndfile does not know, or reads wrongly when its header is incomplete."""
    return head.startswith(BY_FFMPEG) or head[4:8] == b"ftyp" or _is_mpeg_frame(head)


def _is_mpeg_frame(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0


def is_text(head: bytes) -> bool:
    if head.startswith(b"NIST_1A"):  # a SPHERE recording, whose header is text
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the end of head may lie within a character
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head


def riff(file: BinaryIO, size: int) -> Riff | None:
    """The bytes of samples in a WAV file of `size` bytes; None if it is none, or has no samples.

    More bytes are present than promised where the writer did not know the length, stopped before it wrote it, or had more than
    the 4 GB for which the header has room.
    """
    file.seek(0)
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RIFX") or head[8:] != b"WAVE":
        return None
    form = "<I" if head[:4] == b"RIFF" else ">I"
    place = 12
    while place + 8 <= size:
        file.seek(place)
        chunk = file.read(8)
        place, length = place + 8, struct.unpack(form, chunk[4:])[0]
        padded = length + length % 2
        if chunk[:4] == b"data":
            rest = size - place
            if length >= UNKNOWN_SIZE > rest or (length == 0 and not _is_chunk(file, place)):
                return Riff(0, rest)
            whole = rest - padded < FOLLOWS or _is_chunk(file, place + padded)
            return Riff(length, min(length, rest) if whole else rest)
        place += padded
    return None


def _is_chunk(file: BinaryIO, place: int) -> bool:
    """Whether a chunk with a name begins at `place`."""
    file.seek(place)
    name = file.read(4)
    return len(name) == 4 and name.isascii() and name.decode("ascii").isprintable()


def has_mp3_length(file: BinaryIO) -> bool:
    """Whether an MP3 file states its length, in a Xing, Info or VBRI header."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(2048)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))


def has_second_flac(file: BinaryIO) -> bool:
    """Whether another FLAC recording follows the one up to whose end a decoder has read the file, or a buffer farther."""
    place = file.tell()
    file.seek(0)
    first = file.read(HEAD).find(b"fLaC")
    file.seek(max(place - BUFFER, first + 1))
    before = b""
    while part := file.read(1 << 20):
        if b"fLaC\x00\x00\x00\x22" in before + part:
            return True
        before = part[-8:]
    return False

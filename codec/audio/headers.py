"""What the first bytes of a file say it is, whatever its name says. A size in a header is a hint, never a length."""

import codecs
import io
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

HEAD = 1024  # bytes that are looked at
UNKNOWN_SIZE = 0x7FFF0000  # sizes from here on, and 0, mean that whoever wrote the header did not know
ENDLESS = 1 << 48  # of the formats whose sizes have 64 bits
BUFFER = 1 << 14  # bytes that libFLAC may have read ahead
FOLLOWS = 4096  # bytes behind the samples that are no chunk: more of them are samples, which the header does not count
OGG, MATROSKA, ASF = b"OggS", b"\x1aE\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
VOC = b"Creative Voice File"
# Of MP3 and Ogg libsndfile misreads some, of VOC the headers of all blocks but the first.
BY_FFMPEG = (b"ID3", OGG, MATROSKA, ASF, VOC)
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

ENCRYPTED = "its sound is encrypted; get it without copy protection", "encrypted"


class Layout(NamedTuple):
    """How a format divides a file into chunks with a name and a length."""

    start: int  # of the first chunk
    samples: bytes  # the name of the chunk that holds them
    length: str  # of a chunk, for `struct`
    head: int = 0  # bytes that the length counts beside the content
    aligned: int = 1


class Extent(NamedTuple):
    """The samples of an uncompressed recording in bytes: as many as its header promises, and as many as can be there.

    Attributes:
        corrections: bytes that belong to places in the header, so that libsndfile knows it and finds what is there.
        others: how many more recordings or blocks of samples follow.
    """

    promised: int
    present: int
    corrections: dict[int, bytes]
    others: int


_RIFF = Layout(12, b"data", "<I", aligned=2)
_W64_FORMAT = b"fmt \xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": Layout(12, b"data", ">I", aligned=2),
    b"FORM": Layout(12, b"SSND", ">I", aligned=2),
    b"caff": Layout(8, b"data", ">Q"),
    b"riff": Layout(40, b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", "<Q", head=24, aligned=8),  # W64
}
KINDS = {b"FORM": (b"AIFF", b"AIFC")} | dict.fromkeys((b"RIFF", b"RIFX", b"RF64", b"BW64"), (b"WAVE",))
BEGINNINGS = (*LAYOUTS, b".snd", b"fLaC", OGG)
# How a file begins of which the decoders read only the first, if several are joined.
WHOLE_BEGINNINGS = (
    re.compile(rb"fLaC\x00\x00\x00\x22"),
    re.compile(rb"FLV\x01[\x00-\x07]\x00{3}\x09\x00{4}"),
    re.compile(rb"TTA1[\x01\x02]\x00.\x00[\x08\x10\x18]\x00", re.DOTALL),
    re.compile(VOC + rb"\x1a\x1a\x00"),
    re.compile(rb"caff\x00\x01\x00\x00desc"),
    re.compile(re.escape(ASF + b"\xa6\xd9\x00\xaa\x00\x62\xce\x6c")),
)
NOT_BEHIND_TAGS = (*BEGINNINGS, MATROSKA, ASF, b"wvpk")  # the decoders expect these at the very beginning
MOST_CHUNKS = 1000  # more are not looked at


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


def extent(file: BinaryIO, size: int) -> Extent | None:
    """Where the samples are in an uncompressed file of `size` bytes; None if it is none, or has no samples.

    More bytes are present than promised where the writer did not know the length, stopped before it wrote it, or had more than
    the 4 GB for which the header has room.
    """
    file.seek(0)
    head = file.read(12)
    if head[:4] == b".snd" and len(head) == 12:
        start, promised = struct.unpack(">II", head[4:])
        return _extent(file, size, start, promised, start + promised, {8: b"\xff" * 4})
    layout = LAYOUTS.get(head[:4])
    if layout is None or head[8:] not in KINDS.get(head[:4], (head[8:],)):
        return None
    large: tuple[int, int] | None = None  # of RF64: where the real length stands, and what it is
    kind: dict[int, bytes] = {}
    for name, place, length in _chunks(file, size, layout, layout.start):
        if name == b"ds64":
            file.seek(place + 8)
            large = place + 8, int.from_bytes(file.read(8), "little")
        if name == _W64_FORMAT:
            kind |= _plain_kind(file, place)
        if name == b"desc":
            kind |= _whole_bytes(file, place)
        if name != layout.samples:
            continue
        known = large is not None and length == 0xFFFFFFFF
        promised = large[1] if large and known else length
        width = struct.calcsize(layout.length)
        field = {place - width: struct.pack(layout.length, min(size - place + layout.head, 256**width - 1))}
        if large and known:
            field = {large[0]: struct.pack("<Q", size - place)}
        end = place + promised + -promised % layout.aligned
        found = _extent(file, size, place, promised, end, field, layout)
        # The two are the same, but libsndfile knows only one of the names.
        kind |= {0: b"RF64"} if head[:4] == b"BW64" else {}
        return found._replace(corrections=found.corrections | kind)
    return None


def _plain_kind(file: BinaryIO, place: int) -> dict[int, bytes]:
    """The kind of samples of an extensible W64 header where libsndfile looks for it; it takes floats for integers."""
    file.seek(place)
    content = file.read(26)
    return {place: content[24:]} if len(content) == 26 and content[:2] == b"\xfe\xff" else {}


def _whole_bytes(file: BinaryIO, place: int) -> dict[int, bytes]:
    """The bits of a sample of CAF with those that fill its bytes; of 24 bits in 4 bytes ffmpeg would read 3 bytes."""
    file.seek(place)
    content = file.read(32)
    if len(content) < 32 or content[8:12] != b"lpcm":
        return {}
    size, _, channels, bits = struct.unpack(">IIII", content[16:])
    whole = 8 * size // max(channels, 1)
    return {place + 28: struct.pack(">I", whole)} if bits < whole <= 32 else {}


def sphere_frames(head: bytes) -> int | None:
    """The samples of each channel that a NIST SPHERE header states."""
    stated = re.search(rb"^sample_count -i (\d{1,15})$", head, re.MULTILINE) if head.startswith(b"NIST_1A") else None
    return int(stated[1]) if stated else None


def _extent(
    file: BinaryIO,
    size: int,
    start: int,
    promised: int,
    end: int,
    corrections: dict[int, bytes],
    layout: Layout | None = None,
) -> Extent:
    """The extent of samples that begin at `start`, when the next chunk or the file's end is promised at `end`."""
    rest = size - start
    if promised >= UNKNOWN_SIZE > rest or promised >= ENDLESS or (promised == 0 and not _is_chunk(file, start)):
        return Extent(0, rest, corrections, 0)
    if size - end >= FOLLOWS and not _is_chunk(file, end) and not _only_zeros(file, end):
        return Extent(promised, rest, corrections, 0)
    others = 0
    file.seek(end)
    if file.read(4).startswith(BEGINNINGS):
        others = 1
    elif layout is not None:
        others = sum(name == layout.samples and length > 0 for name, _, length in _chunks(file, size, layout, end))
    return Extent(promised, min(promised, rest), {}, others)


def _chunks(file: BinaryIO, size: int, layout: Layout, place: int) -> Iterator[tuple[bytes, int, int]]:
    """Of each chunk from `place` on its name, the place of its content, and the length that it states."""
    width = struct.calcsize(layout.length)
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        name, stated = file.read(len(layout.samples)), file.read(width)
        if len(stated) < width:
            return
        place += len(name) + width
        length = max(struct.unpack(layout.length, stated)[0] - layout.head, 0)
        yield name, place, length
        place += length + -length % layout.aligned
        if place > size:
            return


def _is_chunk(file: BinaryIO, place: int) -> bool:
    """Whether a chunk with a name, or a tag as of MP3 files, begins at `place`."""
    file.seek(place)
    name = file.read(4)
    return name.startswith(b"ID3") or (len(name) == 4 and name.isascii() and name.decode("ascii").isprintable())


def _only_zeros(file: BinaryIO, place: int) -> bool:
    """Whether a file was filled up from `place` on, as cards and recovery programs do."""
    file.seek(place)
    while part := file.read(1 << 16):
        if part.strip(b"\0"):
            return False
    return True


def mp3_frames(file: BinaryIO) -> int | None:
    """The number of frames that an MP3 file states in a Xing, Info or VBRI header; None if it states none."""
    file.seek(_past_tags(file))
    frame = file.read(2048)
    for name in (b"Xing", b"Info"):
        _, _, content = frame.partition(name)
        if len(content) >= 8 and content[3] & 1:
            return int.from_bytes(content[4:8], "big")
    _, _, content = frame.partition(b"VBRI")
    return int.from_bytes(content[10:14], "big") if len(content) >= 14 else None


def _past_tags(file: BinaryIO) -> int:
    """Where the ID3v2 tags at the beginning of a file end (ID3v2.4.0, section 3)."""
    place = 0
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            break
        has_footer = head[5] & 0x10
        place += 20 if has_footer else 10
        place += sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return place


def without_tags(file: BinaryIO) -> BinaryIO:
    """A file without the ID3v2 tags at its beginning, if its decoder cannot skip them."""
    start = _past_tags(file)
    file.seek(start)
    head = file.read(8)
    if start and (head.startswith(NOT_BEHIND_TAGS) or head[4:8] == b"ftyp"):
        return io.BufferedReader(_Rest(file, start))
    return file


class _Rest(io.RawIOBase):
    """A file from `start` on."""

    def __init__(self, file: BinaryIO, start: int):
        self._file, self._start = file, start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._file.readinto(buffer)  # type: ignore[attr-defined]

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(place + self._start if whence == io.SEEK_SET else place, whence) - self._start


def has_another_beginning(file: BinaryIO, place: int = 0) -> bool:
    """Whether another recording of the same kind follows, in what a decoder has not read: from a buffer before `place` on."""
    file.seek(0)
    head = file.read(HEAD)
    found = (match for beginning in WHOLE_BEGINNINGS if (match := beginning.search(head)))
    first = next(found, None)
    if first is None:
        return False
    file.seek(max(place - BUFFER, first.end()))
    before = b""
    while part := file.read(1 << 20):
        if first.re.search(before + part):
            return True
        before = part[-len(first[0]) :]
    return False

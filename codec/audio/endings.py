"""Whether a file ends within its last part, where its format says how long parts are."""

import re
import struct
from typing import BinaryIO, Literal, NamedTuple

from telucodec.audio import headers

LONGEST_PAGE = 27 + 255 + 255 * 255  # bytes of an Ogg page
FILE_PROPERTIES = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"  # of ASF
# The scheme of encryption (ISO/IEC 14496-12, section 8.12.5), also that of iTunes.
PROTECTED = re.compile(rb"schm\0{4}(?:cenc|cens|cbc1|cbcs|piff|itun|adkm)")
# Of ASF, the objects of content encryption, in all its three kinds.
PROTECTED_ASF = re.compile(
    rb"\xfb\xb3\x11\x22\x23\xbd\xd2\x11\xb4\xb7\x00\xa0\xc9\x55\xfc\x6e"
    rb"|\x14\xe6\x8a\x29\x22\x26\x17\x4c\xb9\x35\xda\xe0\x7e\xe9\x28\x9c"
    rb"|\x33\x85\x05\x43\x81\x69\xe6\x49\x9b\x74\xad\x12\xcb\x86\xd5\x8c"
)
INDEX = 1 << 24  # bytes of an MP4 index, and of an ASF header, that are looked at
VOC_BLOCKS = 100_000  # more are not looked at
ASF_SHARE = 1 / 20  # of an ASF file may be missing: programs that change its tags may leave the size as it was
# Of DSD (DSF, DFF): where 8 bytes state the size of the file, their order, and how many bytes more it has.
SIZES: dict[bytes, tuple[int, Literal["little", "big"], int]] = {b"DSD ": (12, "little", 0), b"FRM8": (4, "big", 12)}


def is_cut(file: BinaryIO, size: int, head: bytes) -> bool:
    """Whether the end of a file of `size` bytes that begins with `head` is missing, as far as one can know."""
    if head.startswith(headers.OGG):
        return _is_ogg_cut(file, size)
    if head.startswith(headers.MATROSKA):
        return _is_matroska_cut(file, size)
    if head.startswith(headers.ASF):
        place = head.find(FILE_PROPERTIES) + 40
        return place >= 40 and int.from_bytes(head[place : place + 8], "little") - size >= ASF_SHARE * size
    if head.startswith(headers.VOC):
        return _is_voc_cut(file, size, int.from_bytes(head[20:22], "little"))
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return size < 8 + int.from_bytes(head[4:8], "little") < headers.UNKNOWN_SIZE
    if head[:4] in SIZES:
        place, order, more = SIZES[head[:4]]
        return size < int.from_bytes(head[place : place + 8], order) + more < headers.ENDLESS
    return head[4:8] == b"ftyp" and boxes(file, size).is_cut


class Boxes(NamedTuple):
    """The names of the outermost boxes of an MP4 file, whether the last one is incomplete, and whether the sound is encrypted."""

    names: list[bytes]
    is_cut: bool
    is_protected: bool


def boxes(file: BinaryIO, size: int) -> Boxes:
    """The boxes of a file that begins with `ftyp` (ISO/IEC 14496-12, section 4.2)."""
    names: list[bytes] = []
    is_protected = False
    place = 0
    while place + 8 <= size and len(names) < headers.MOST_CHUNKS:
        file.seek(place)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        names.append(name)
        if name == b"moov":
            is_protected = PROTECTED.search(file.read(min(length or size, INDEX))) is not None
        place += size if length == 0 else max(length, 8)
    is_cut = place > size and length != 0 and names[-1] in (b"mdat", b"moof", b"moov")
    return Boxes(names, is_cut, is_protected)


def is_protected_asf(file: BinaryIO) -> bool:
    """Whether the header object of an ASF file says that its sound is encrypted."""
    file.seek(16)
    length = int.from_bytes(file.read(8), "little")
    return PROTECTED_ASF.search(file.read(min(length, INDEX))) is not None


def _is_voc_cut(file: BinaryIO, size: int, place: int) -> bool:
    """Whether the last block of a Creative Voice File is incomplete: a byte for its kind, three for its length."""
    for _ in range(VOC_BLOCKS):
        file.seek(place)
        block = file.read(4)
        if len(block) < 4 or block[0] == 0:
            break
        place += 4 + int.from_bytes(block[1:], "little")
    return place > size


def _is_ogg_cut(file: BinaryIO, size: int) -> bool:
    """Whether the last page is incomplete (RFC 3533, section 6)."""
    start = max(0, size - LONGEST_PAGE)
    file.seek(start)
    last = file.read()
    page = last[last.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) < 27 or len(page) < 27 + page[26] + sum(segments)


def _is_matroska_cut(file: BinaryIO, size: int) -> bool:
    """Whether the last element is incomplete (RFC 8794, sections 4 to 6).

    Browsers write segments and clusters of unknown length, which end where the file does: cut between two blocks, it looks whole.
    """
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(12)
        id_width = 9 - head[0].bit_length()
        if id_width > 4:  # no element: something was appended
            return False
        stated = head[id_width:]
        width = 9 - stated[0].bit_length() if stated else 1
        if len(stated) < width:
            return True
        unknown = (1 << 7 * width) - 1
        length = int.from_bytes(stated[:width], "big") & unknown
        place += id_width + width + (0 if length == unknown else length)
    return place > size

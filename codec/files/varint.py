"""Numbers of any size in bytes, and bytes that must be there."""

from telucodec.errors import ContainerError


def varint(value: int) -> bytes:
    """Unsigned LEB128: seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes | bytearray, place: int) -> tuple[int, int]:
    value = 0
    for position in range(6):
        byte = data[place + position]
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, place + position + 1
    raise ContainerError(f"the number at byte {place} is too long")


def exactly(data: bytes | bytearray, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise IndexError
    return bytes(data[start : start + length])

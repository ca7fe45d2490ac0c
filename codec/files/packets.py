"""The packets of a `.tlc` file, with the number of samples they hold."""

from collections.abc import Iterator

from telucodec.errors import ContainerError
from telucodec.files import container
from telucodec.files.header import Header

SIDE_BY_SIDE = 24  # packets of a file that are coded at once: more is hardly faster and takes more memory
SIDE_BY_SIDE_FRAMES = 1 << 12  # of packets longer than those of our files, fewer are decoded at once
MOST_LOST_FRAMES = 1 << 18  # more than an hour: what a lenient decoder replaces in one file

Packet = tuple[int, bytes | None, int]  # number, payload (None: lost or left out), frames


def packets_of(header: Header, hop: int, data: bytes, place: int, lenient: bool) -> tuple[int, list[Packet]]:
    """The number of samples of a file, and its packets, which begin at `place`.

    Raises:
        ContainerError: the file is damaged; with `lenient`, so much of it that little is left.
    """
    size, frames = header.packet_frames, header.frames(hop)
    most_lost, most_left_out = MOST_LOST_FRAMES // size, header.most_left_out
    read = list(container.read_packets(data, place, header.packets(hop), lenient, most_lost, most_left_out))
    if frames is not None and header.samples is not None:
        return header.samples, [(number, payload, min(size, frames - number * size)) for number, payload in read]
    end = read[-1][1] if read and read[-1][0] == -1 else None
    if end is None and not lenient:
        raise ContainerError("the stream has no end mark; lenient decodes what there is")
    packets: list[Packet] = [(number, payload, size) for number, payload in read if number >= 0]
    most = max(len(packets) * size - 1, 0) * hop
    samples = most if end is None else container.read_end(end)
    needed = container.stream_packets(samples, hop, size)
    missing = needed - len(packets)
    if samples > most and missing > (most_lost if lenient else most_left_out):
        raise ContainerError(f"the end mark of the stream names {samples} samples, but its packets hold at most {most}")
    # What lies behind the end is a damaged packet that looks like one far ahead.
    return samples, packets[:needed] + [(number, None, size) for number in range(len(packets), needed)]


def side_by_side(packets: list[Packet]) -> Iterator[list[Packet]]:
    """The packets of a file in groups that are decoded at once, in bounded memory."""
    longest = max((frames for _, _, frames in packets), default=1)
    count = max(1, min(SIDE_BY_SIDE, SIDE_BY_SIDE_FRAMES // max(longest, 1)))
    yield from (packets[start : start + count] for start in range(0, len(packets), count))

from telucodec.files.container import stream_packets, write_end, write_packet
from telucodec.files.header import Header, Mode
from telucodec.files.packets import packets_of

HOP = 240
STREAM = Header(Mode.WAVEFORM, bytes(4), 16000, None, 1, 1, (400, 0))


def test_damaged_last_packet_that_looks_like_one_far_ahead_is_one_lost_packet():
    """Its number is that of its checksum, and only the end mark contradicts it."""
    samples = 5 * HOP
    count = stream_packets(samples, HOP, STREAM.packet_frames)
    numbers = [*range(count - 1), 200_000]
    data = b"".join(write_packet(number, b"x") for number in numbers) + write_end(samples)
    assert packets_of(STREAM, HOP, data, 0, lenient=True) == (
        samples,
        [*((number, b"x", 1) for number in range(count - 1)), (count - 1, None, 1)],
    )

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telucodec.files.container import ContainerError, write_packet
from telucodec.files.header import MAX_SAMPLES, Header, Mode, read_header, write_header

EXAMPLE = Header(Mode.WAVEFORM, bytes.fromhex("0badcafe"), 16000, 1000, 133, 1, (400, 0))
HEADERS = (
    st.builds(
        Header,
        mode=st.just(Mode.WAVEFORM),
        model=st.binary(min_size=4, max_size=4),
        sample_rate=st.integers(1, 255).map(lambda thousand: 1000 * thousand),
        samples=st.none() | st.integers(0, MAX_SAMPLES - 1),
        packet_frames=st.integers(1, 4096),
        key_packets=st.integers(1, 4096),
        settings=st.tuples(st.integers(0, 1023), st.integers(0, 16)),
        own_steps=st.booleans(),
    )
    | st.builds(
        Header,
        mode=st.just(Mode.WAVEFORM),
        model=st.binary(min_size=4, max_size=4),
        sample_rate=st.just(16000),
        samples=st.none(),
        packet_frames=st.integers(1, 4096),
        key_packets=st.integers(1, 4096),
        settings=st.tuples(st.integers(0, 1023), st.integers(1, 16)),
        own_steps=st.booleans(),
        dtx=st.booleans(),
    )
    | st.builds(
        Header,
        mode=st.just(Mode.TOKENS),
        model=st.binary(min_size=4, max_size=4),
        sample_rate=st.just(16000),
        samples=st.none() | st.integers(0, MAX_SAMPLES - 1),
        packet_frames=st.integers(1, 4096),
        key_packets=st.just(1),
        settings=st.tuples(st.integers(1, 32), st.integers(0, 32)),
    )
)


@given(HEADERS, st.binary(max_size=20))
def test_header_comes_back_whatever_follows_it(header, after):
    data = write_header(header)
    assert read_header(data + after) == (header, len(data))
    assert len(data) <= 26


def test_header_and_packet_are_small():
    assert len(write_header(replace(EXAMPLE, samples=16000 * 5))) <= 22
    assert len(write_packet(3, bytes(1000))) == 1006


@given(HEADERS, st.data())
def test_header_cut_or_with_flipped_bits_is_refused(header, data):
    whole = write_header(header)
    with pytest.raises(ContainerError):
        read_header(whole[: data.draw(st.integers(0, len(whole) - 1))])
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    with pytest.raises(ContainerError):
        read_header(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])


@pytest.mark.parametrize(
    "change",
    [
        {"samples": MAX_SAMPLES},
        {"samples": -1},
        {"packet_frames": 0},
        {"packet_frames": 5000},
        {"key_packets": 0},
        {"sample_rate": 44100},
        {"sample_rate": 0},
        {"settings": (1024, 0)},
        {"mode": Mode.TOKENS, "settings": (0, 0)},
        {"mode": Mode.TOKENS, "settings": (8, 0), "own_steps": True},
        {"mode": Mode.TOKENS, "settings": (8, 0), "samples": None, "dtx": True},
        {"settings": (400, 8), "dtx": True},
        {"samples": None, "dtx": True},
        {"settings": (1, 2, 3)},
        {"model": b"abc"},
    ],
)
def test_header_values_out_of_range_are_refused(change):
    with pytest.raises(ContainerError, match="outside"):
        replace(EXAMPLE, **change)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_header_or_an_error(data):
    for bytes_ in (data, b"TLC\x01" + data):
        with pytest.raises(ContainerError):
            read_header(bytes_)

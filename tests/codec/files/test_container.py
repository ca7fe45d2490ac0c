import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telucodec.files.container import ContainerError, read_end, read_packets, write_end, write_packet
from telucodec.files.header import MAX_SAMPLES, Header, Mode, write_header
from tools import fuzz

EXAMPLE = Header(Mode.WAVEFORM, bytes.fromhex("0badcafe"), 16000, 1000, 133, 1, (400, 0))
PAYLOADS = st.lists(st.binary(max_size=200), min_size=1, max_size=8)


def joined(payloads):
    return b"".join(write_packet(number, payload) for number, payload in enumerate(payloads))


@given(PAYLOADS, st.binary(max_size=8))
def test_packets_come_back(payloads, before):
    data = before + joined(payloads)
    assert list(read_packets(data, len(before), len(payloads))) == list(enumerate(payloads))


@given(PAYLOADS, st.integers(0, MAX_SAMPLES - 1))
def test_stream_of_unknown_length_ends_with_its_length(payloads, samples):
    *packets, (number, payload) = read_packets(joined(payloads) + write_end(samples), 0, None)
    assert packets == list(enumerate(payloads))
    assert (number, read_end(payload)) == (-1, samples)


@given(PAYLOADS, st.data())
def test_cut_packets_are_an_error_or_lost_at_the_end(payloads, data):
    whole = joined(payloads)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(ContainerError):
        list(read_packets(cut, 0, len(payloads)))
    found = list(read_packets(cut, 0, len(payloads), lenient=True))
    assert [number for number, _ in found] == list(range(len(payloads)))
    sound = sum(len(joined(payloads[: n + 1])) <= len(cut) for n in range(len(payloads)))
    assert [payload for _, payload in found] == [*payloads[:sound], *[None] * (len(payloads) - sound)]


@given(PAYLOADS, st.data())
def test_damage_costs_only_the_packet_it_hits(payloads, data):
    """Also when it hits the length: the reader finds the next packet by its checksum."""
    hit = data.draw(st.integers(0, len(payloads) - 1))
    parts = [write_packet(number, payload) for number, payload in enumerate(payloads)]
    damaged = bytearray(parts[hit])
    for place in data.draw(st.sets(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    whole = b"".join([*parts[:hit], bytes(damaged), *parts[hit + 1 :]])
    with pytest.raises(ContainerError):
        list(read_packets(whole, 0, len(payloads)))
    expected = [(number, None if number == hit else payload) for number, payload in enumerate(payloads)]
    assert list(read_packets(whole, 0, len(payloads), lenient=True)) == expected


@given(PAYLOADS, st.integers(1, 5000), st.booleans(), st.data())
def test_damaged_packet_that_looks_like_one_far_ahead_costs_only_itself(payloads, ahead, whole_file, data):
    hit = data.draw(st.integers(0, len(payloads) - 1))
    numbers = [number + ahead * (number == hit) for number in range(len(payloads))]
    file = b"".join(map(write_packet, [*numbers, len(payloads)], [*payloads, b""]))
    found = list(read_packets(file, 0, 6000 if whole_file else None, lenient=True, most_lost=6000))
    assert found[: len(payloads) + 1] == [
        *((number, None if number == hit else payload) for number, payload in enumerate(payloads)),
        (len(payloads), b""),
    ]


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=3, max_size=8), st.data())
def test_packets_left_out_are_known_by_number(payloads, data):
    gone = data.draw(st.sets(st.integers(0, len(payloads) - 1), max_size=len(payloads) - 1))
    whole = b"".join(write_packet(n, payload) for n, payload in enumerate(payloads) if n not in gone)
    found = list(read_packets(whole, 0, len(payloads), lenient=True))
    assert found == [(n, None if n in gone else payload) for n, payload in enumerate(payloads)]


@given(st.sets(st.integers(0, 40), min_size=2), st.integers(0, 12))
def test_packets_left_out_are_no_loss_and_longer_gaps_are(sent, most_left_out):
    numbers = sorted(sent)
    data = b"".join(write_packet(number, b"x") for number in numbers) + write_end(7)
    gaps = [after - before - 1 for before, after in zip([-1, *numbers], numbers, strict=False)]
    arguments = data, 0, None, False, 0, most_left_out
    if max(gaps) > most_left_out:
        with pytest.raises(ContainerError, match="damaged"):
            list(read_packets(*arguments))
    else:
        *read, _ = read_packets(*arguments)
        assert read == [(number, b"x" if number in sent else None) for number in range(numbers[-1] + 1)]


def test_bytes_after_the_last_packet_are_an_error():
    with pytest.raises(ContainerError, match="1 bytes follow"):
        list(read_packets(joined([b"a"]) + b"x", 0, 1))


def test_more_lost_packets_than_allowed_are_an_error_at_once():
    with pytest.raises(ContainerError, match="missing"):
        list(read_packets(joined([b"a"]), 0, 1 << 36, lenient=True))


@given(st.binary(max_size=300))
def test_any_bytes_as_packets_end_without_a_crash(data):
    lost = list(read_packets(data, 0, 3, lenient=True))
    assert [number for number, _ in lost] == [0, 1, 2]


def test_worked_example_of_the_documentation():
    text = (Path(__file__).parents[3] / "docs/format.md").read_text(encoding="utf-8")
    example = text.split("## Worked example")[1]
    shown = bytes.fromhex("".join(re.findall(r"^ *((?:[0-9a-f]{2} ?)+)  ", example, flags=re.M)))
    assert shown == write_header(EXAMPLE) + write_packet(0, b"\x10\x20\x30")


def test_damaged_files_are_decoded_or_refused(telu):
    """A short run of tools/fuzz.py."""
    fuzzed, random = fuzz.fuzzed(telu), np.random.default_rng(0)
    outcomes = [fuzzed.read(fuzzed.damaged(random)[0], random) for _ in range(150)]
    assert {"decoded", "stream", ContainerError.__name__} <= set(outcomes)

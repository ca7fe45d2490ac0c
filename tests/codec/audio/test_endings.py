"""A recording that ends within its last part says so where its format states no length of the whole."""

import struct

import numpy as np
import pytest
import soxr

from telucodec.audio.reading import read_with_notes
from tests.codec.audio import recordings
from tests.codec.audio.recordings import cut, joined

RATE = 16000


@pytest.mark.parametrize(
    "codec, container, rate, options, said",
    [
        ("libopus", "ogg", 48000, {}, "its last part is incomplete"),
        ("libopus", "webm", 48000, {"seekable": False}, "its last part is incomplete"),  # as browsers record it
        ("libmp3lame", "wav", RATE, {}, "its last frame is incomplete"),
        ("g722", "wav", RATE, {}, "its last part is incomplete"),
        ("libmp3lame", "avi", RATE, {}, "incomplete"),
        ("libmp3lame", "mp3", RATE, {"write_xing": "0"}, "its last frame is incomplete"),
        ("mp2", "mp2", RATE, {}, "its last frame is incomplete"),
        ("ac3", "ac3", 48000, {}, "its last frame is incomplete"),
        ("eac3", "eac3", 48000, {}, "its last frame is incomplete"),
        ("mp2", "mpeg", 48000, {}, "its last frame is incomplete"),
        ("pcm_u8", "voc", RATE, {}, "its last part is incomplete"),
        ("wmav2", "asf", RATE, {}, "incomplete"),
        ("aac", "mp4", RATE, {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}, "ends early"),
    ],
)
def test_what_states_no_length_says_so_when_it_is_cut(tmp_path, spoken, codec, container, rate, options, said):
    path = recordings.write(tmp_path / "x", spoken(6.0, 0, rate), rate, codec, container, **options)
    assert read_with_notes(path, RATE).fault is None
    sound = read_with_notes(cut(path, 0.6), RATE)
    assert sound.fault == "truncated" and said in sound.notes[0]
    assert 2 < len(sound.samples) / RATE < 4.5


def of_a_browser(path, audio):
    """A WebM whose segment and clusters state no length; returns where each of its blocks begins."""
    content = bytearray(recordings.write(path, audio, 48000, "libopus", "webm", seekable=False).read_bytes())
    place, blocks = 0, []
    while place < len(content):
        id_width = 9 - content[place].bit_length()
        name, start = content[place : place + id_width].hex(), place + id_width
        width = 9 - content[start].bit_length()
        length = int.from_bytes(content[start : start + width], "big") - (1 << 7 * width)
        if name == "1f43b675":  # a cluster
            content[start : start + width] = bytes([0xFF >> (width - 1)]) + b"\xff" * (width - 1)
        if name == "a3":  # a block
            blocks.append(place)
        place = start + width + (0 if name in ("18538067", "1f43b675") else length)
    path.write_bytes(content)
    return blocks


def test_a_recording_of_a_browser_that_is_cut_says_so_where_one_can_know(tmp_path, spoken):
    path = tmp_path / "x.webm"
    block = of_a_browser(path, spoken(3.0, 0, 48000))[100]
    content = path.read_bytes()
    for changed, seconds, fault in (
        (content, 3.0, None),
        (content[: block + 1], 2.0, "truncated"),
        (content[: block + 30], 2.0, "truncated"),
        (content[:block], 2.0, None),  # as if it had been stopped there
        (content + bytes(5000), 3.0, None),
    ):
        path.write_bytes(changed)
        sound = read_with_notes(path, RATE)
        assert sound.fault == fault and len(sound.samples) / RATE == pytest.approx(seconds, abs=0.05)


def test_joined_recordings_of_a_browser_are_read_to_the_end(tmp_path, spoken):
    recordings.write(tmp_path / "a", spoken(3.0, 0, 48000), 48000, "libopus", "webm", seekable=False)
    sound = read_with_notes(joined(tmp_path / "x.webm", *[tmp_path / "a"] * 2), RATE)
    assert len(sound.samples) / RATE == pytest.approx(6.0, abs=0.1) and sound.fault is None


def dsd(form, audio):
    """A file of DSD of 2.8 MHz, made by a modulator of the first order."""
    density = soxr.resample(audio / 4 + 0.5, RATE, 176 * RATE)
    bits = np.diff(np.floor(np.cumsum(density)), prepend=0).astype(np.uint8)
    if form == "dsf":
        content = np.packbits(bits, bitorder="little").tobytes()
        content += bytes(-len(content) % 4096)
        kind = struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 1, 1, 176 * RATE, 1, len(bits), 4096, 0)
        rest = kind + struct.pack("<4sQ", b"data", 12 + len(content)) + content
        return struct.pack("<4sQQQ", b"DSD ", 28, 28 + len(rest), 0) + rest

    def chunk(name, content):
        return name + struct.pack(">Q", len(content)) + content + bytes(len(content) % 2)

    kind = chunk(b"FS  ", struct.pack(">I", 176 * RATE)) + chunk(b"CHNL", b"\0\1C000") + chunk(b"CMPR", b"DSD \x01x")
    sound = chunk(b"DSD ", np.packbits(bits).tobytes())
    return chunk(b"FRM8", b"DSD " + chunk(b"FVER", b"\1\5\0\0") + chunk(b"PROP", b"SND " + kind) + sound)


@pytest.mark.parametrize("form", ["dsf", "dff"])
def test_dsd_is_read_and_says_so_when_it_is_cut(tmp_path, spoken, form):
    path = tmp_path / "x"
    path.write_bytes(dsd(form, spoken(1.0)))
    sound = read_with_notes(path, RATE)
    assert sound.fault is None and len(sound.samples) / RATE == pytest.approx(1.0, abs=0.01)
    assert np.corrcoef(sound.samples[100:15900], spoken(1.0)[100:15900])[0, 1] > 0.9
    assert read_with_notes(cut(path, 0.6), RATE).fault == "truncated"

"""Lengths are counted: whatever a header says, what is there is read, and a recording that ends early says so."""

import struct

import numpy as np
import pytest
import soundfile

from telucodec.audio.reading import opened, read_with_notes
from telucodec.errors import AudioError
from tests.codec.audio import recordings
from tests.codec.audio.recordings import cut, joined

RATE = 16000


def seconds(path):
    return len(read_with_notes(path, RATE).samples) / RATE


def promised(path):
    with opened(path) as recording:
        return recording.promised


def test_mp3_with_a_cover_and_without_a_length(tmp_path, spoken):
    path = tmp_path / "x.mp3"
    recordings.write(path, spoken(3.1), RATE, "libmp3lame", "mp3", picture=True, write_xing="0")
    assert seconds(path) == pytest.approx(3.1, abs=0.15)
    assert promised(path) is None


@pytest.mark.parametrize("silence_first", [False, True])
def test_mp3_of_a_variable_rate_without_a_length(tmp_path, spoken, silence_first):
    audio = np.concatenate([spoken(20.0), np.zeros(5 * RATE, np.float32)])
    path = recordings.write_variable_mp3(tmp_path / "x.mp3", audio[::-1] if silence_first else audio, RATE)
    assert seconds(path) == pytest.approx(25, abs=0.15)


@pytest.mark.parametrize(
    "codec, container, options",
    [
        ("libmp3lame", "mp3", {}),
        ("pcm_s16le", "wav", {}),
        ("pcm_s16le", "w64", {}),
        ("pcm_s16be", "aiff", {}),
        ("pcm_s16be", "au", {}),
        ("pcm_s16be", "caf", {}),
        ("flac", "flac", {}),
        ("aac", "mp4", {"movflags": "+faststart"}),
        ("libopus", "webm", {}),
    ],
)
def test_a_recording_that_is_cut_is_read_as_far_as_it_goes_and_says_so(tmp_path, spoken, codec, container, options):
    path = tmp_path / "x.wav"
    rate = 48000 if codec == "libopus" else RATE
    recordings.write(path, spoken(12.0, 0, rate), rate, codec, container, **options)
    assert promised(path) == pytest.approx(12, abs=0.15)
    sound = read_with_notes(cut(path, 0.6), RATE)
    assert sound.fault == "truncated"
    assert sound.notes[0].startswith("ends early: its header promises 12.")
    assert 5 < len(sound.samples) / RATE < 9
    assert np.abs(sound.samples[-4 * RATE :]).max() > 1000  # no silence in place of what is missing


def test_flac_of_unknown_length(tmp_path, spoken):
    path = recordings.write(tmp_path / "x.flac", spoken(3.1), RATE, "flac", "flac", seekable=False)
    assert promised(path) is None
    sound = read_with_notes(path, RATE)
    assert np.array_equal(sound.samples, np.round(spoken(3.1) * 32767))
    assert read_with_notes(cut(path, 0.7), RATE).fault == "truncated"


@pytest.mark.parametrize("rate, channels, subtype", [(16000, 1, "PCM_16"), (44100, 2, "PCM_24"), (17000, 1, "PCM_16")])
def test_flac_with_more_samples_than_its_header_says(tmp_path, spoken, rate, channels, subtype):
    path = tmp_path / "x.flac"
    soundfile.write(path, np.stack([spoken(3.1, 0, rate)] * channels, 1), rate, subtype=subtype)
    content = path.read_bytes()
    for stated, behind in ((0, b""), (rate, b""), (rate, bytes(5000)), (1, b"TAG" + bytes(125))):
        field = int.from_bytes(content[18:26], "big") >> 36 << 36 | stated
        path.write_bytes(content[:18] + field.to_bytes(8, "big") + content[26:] + behind)
        sound = read_with_notes(path, rate)
        assert len(sound.samples) == round(3.1 * rate) and not sound.notes


def test_flac_with_headers_that_differ_is_refused(tmp_path, spoken):
    path = tmp_path / "x.flac"
    soundfile.write(path, spoken(1.5), RATE)
    content = path.read_bytes()
    header = b"\0" + content[5:42]
    path.write_bytes(content[:4] + header + content[4:])
    assert seconds(path) == 1.5  # the same one twice
    other = header[:14] + (3 * RATE << 4 | header[16] & 15).to_bytes(3, "big") + header[17:]
    path.write_bytes(content[:4] + header + other + content[42:])
    with pytest.raises(AudioError, match=r"x\.flac: several headers \(STREAMINFO\) that differ; convert it to WAV"):
        seconds(path)


def test_damage_in_flac_is_noticed(tmp_path, spoken):
    soundfile.write(tmp_path / "x.flac", spoken(30.0), RATE)
    content = bytearray((tmp_path / "x.flac").read_bytes())
    content[len(content) // 2] ^= 0x55
    (tmp_path / "x.flac").write_bytes(content)
    sound = read_with_notes(tmp_path / "x.flac", RATE)
    assert sound.fault == "damaged" and len(sound.samples) > 29 * RATE


def test_flac_with_a_wrong_number_of_channels_is_refused(tmp_path, spoken):
    path = tmp_path / "x.flac"
    soundfile.write(path, spoken(1.5), RATE)
    content = bytearray(path.read_bytes())
    content[20] |= 3 << 1
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"x\.flac: "):
        seconds(path)


@pytest.mark.parametrize("form", ["VORBIS", "OPUS"])
def test_joined_ogg_files_are_read_to_the_end(tmp_path, spoken, form):
    soundfile.write(tmp_path / "a.ogg", spoken(1.5), RATE, format="OGG", subtype=form)
    path = joined(tmp_path / "x.ogg", *[tmp_path / "a.ogg"] * 2)
    assert seconds(path) == pytest.approx(3.0, abs=0.05)


def test_joined_ogg_files_of_other_channels_are_refused(tmp_path, spoken):
    soundfile.write(tmp_path / "a.ogg", spoken(1.5), RATE)
    soundfile.write(tmp_path / "b.ogg", np.stack([spoken(1.5)] * 2, 1), RATE)
    path = joined(tmp_path / "x.ogg", tmp_path / "a.ogg", tmp_path / "b.ogg")
    with pytest.raises(AudioError, match=r"x\.ogg: changes .*; split it there") as refused:
        seconds(path)
    assert refused.value.reason == "joined"


def test_joined_mp3_files_are_read_to_the_end(tmp_path, spoken):
    recordings.write(tmp_path / "a.mp3", spoken(5.0), RATE, "libmp3lame", "mp3")
    path = joined(tmp_path / "x.mp3", *[tmp_path / "a.mp3"] * 2)
    assert seconds(path) == pytest.approx(10.0, abs=0.3)


@pytest.mark.parametrize(
    "codec, container",
    [("aac", "flv"), ("tta", "tta"), ("pcm_s16le", "voc"), ("wmav2", "asf"), ("libmp3lame", "caf"), ("flac", "flac")],
)
def test_joined_files_of_which_decoders_read_the_first_are_refused(tmp_path, spoken, codec, container):
    recordings.write(tmp_path / "a", spoken(1.5, 0, 44100), 44100, codec, container, seekable=container != "flac")
    path = joined(tmp_path / "x", *[tmp_path / "a"] * 2)
    assert seconds(tmp_path / "a") == pytest.approx(1.5, abs=0.1)
    with pytest.raises(AudioError, match=r"x: several recordings joined into one file; split it") as refused:
        seconds(path)
    assert refused.value.reason == "joined"


@pytest.mark.parametrize("end", [b"LYRICSBEGIN" + b"la" * 4000 + b"008011LYRICS200", b"TAG" + bytes(125), bytes(9000)])
def test_what_follows_the_last_frame_of_mp3_is_not_missing_sound(tmp_path, spoken, end):
    path = recordings.write(tmp_path / "x.mp3", spoken(5.0), RATE, "libmp3lame", "mp3")
    path.write_bytes(path.read_bytes() + end)
    sound = read_with_notes(path, RATE)
    assert sound.fault is None and len(sound.samples) / RATE == pytest.approx(5.0, abs=0.1)
    assert promised(path) == pytest.approx(5.0, abs=0.2)


def test_joined_flac_files_are_refused(tmp_path, spoken):
    soundfile.write(tmp_path / "a.flac", spoken(1.5), RATE)
    soundfile.write(tmp_path / "b.flac", spoken(3.0), RATE)
    for other in "ab":
        path = joined(tmp_path / "x.flac", tmp_path / "a.flac", tmp_path / f"{other}.flac")
        with pytest.raises(AudioError, match=r"several .*recordings joined"):
            seconds(path)


@pytest.mark.parametrize("size", [0, 4000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_wav_with_a_length_that_is_not_so(tmp_path, spoken, size):
    """Written into a pipe, by a recorder that died, or longer than 4 GB, where the length begins again at 0."""
    path = tmp_path / "x.wav"
    soundfile.write(path, spoken(3.1), RATE)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    sound = read_with_notes(path, RATE)
    assert len(sound.samples) == 3.1 * RATE and sound.fault is None


def test_what_follows_the_samples_is_not_read_as_sound(tmp_path, spoken):
    path = tmp_path / "x.wav"
    soundfile.write(path, spoken(3.1), RATE)
    content = path.read_bytes()
    notes = b"LIST" + struct.pack("<I", 20000) + b"INFO" + b"cmnt" * 4999
    for more in (
        notes,
        b"ID3\x04\x00\x00\x00\x00\x4e\x20" + bytes(10_016),
        b"APETAGEX" + bytes(9000),
        b"TAG" + bytes(125),
    ):
        path.write_bytes(content + more)
        assert seconds(path) == 3.1


@pytest.mark.parametrize("form", ["WAV", "AU", "CAF", "AIFF"])
def test_zeros_that_fill_a_file_up_are_not_read_as_sound(tmp_path, spoken, form):
    path = tmp_path / "x.wav"
    soundfile.write(path, spoken(3.1), RATE, format=form)
    path.write_bytes(path.read_bytes() + bytes(100_000))
    sound = read_with_notes(path, RATE)
    assert len(sound.samples) == 3.1 * RATE and not sound.notes


def test_a_chunk_that_ffmpeg_fills_up_is_whole(tmp_path, spoken):
    path = tmp_path / "x.w64"
    soundfile.write(path, spoken(3.2, 0, 8000), 8000, format="W64", subtype="GSM610")
    content = bytearray(path.read_bytes())
    place = content.index(b"data\xf3\xac\xd3\x11") + 16
    size = struct.unpack_from("<Q", content, place)[0]
    whole = 65 * ((size - 24) // 65)  # bytes of blocks of 40 ms
    content[place : place + 8] = struct.pack("<Q", 24 + whole + 7)
    path.write_bytes(content[: place + 8 + whole] + bytes(7))
    sound = read_with_notes(path, 8000)
    assert not sound.notes and len(sound.samples) / 8000 == pytest.approx(3.2, abs=0.04)
    assert read_with_notes(cut(path, 0.6), 8000).fault == "truncated"


def test_a_header_without_samples_has_none(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(0), RATE)
    path = tmp_path / "x.wav"
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 8) + b"INFOcmnt")
    assert seconds(path) == 0


@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU", "W64"])
def test_a_header_whose_samples_are_missing_says_so(tmp_path, spoken, form):
    path = tmp_path / "x.wav"
    soundfile.write(path, spoken(1.0), RATE, format=form)
    path.write_bytes(path.read_bytes()[: -2 * RATE])
    sound = read_with_notes(path, RATE)
    assert sound.fault == "truncated" and len(sound.samples) == 0


def test_a_walk_over_chunks_without_end_ends(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE" + b"note\x00\x00\x00\x00" * 2_000_000)
    with pytest.raises(AudioError, match=r"x\.wav: "):
        seconds(tmp_path / "x.wav")


LARGE = {"AU": (8, ">I"), "AIFF": (b"SSND", ">I"), "CAF": (b"data", ">Q"), "W64": (b"data\xf3\xac\xd3\x11", "<Q")}


@pytest.mark.parametrize("form", LARGE)
@pytest.mark.parametrize("size", [0, 30_000, -1])
def test_other_formats_with_a_length_that_is_not_so(tmp_path, spoken, form, size):
    place, width = LARGE[form]
    path = tmp_path / "x.wav"
    soundfile.write(path, spoken(3.1), RATE, format=form)
    content = bytearray(path.read_bytes())
    if isinstance(place, bytes):
        place = content.index(place) + (16 if form == "W64" else 4)
    bits = 8 * struct.calcsize(width)
    content[place : place + bits // 8] = struct.pack(width, size % (1 << bits))
    path.write_bytes(content)
    sound = read_with_notes(path, RATE)
    assert len(sound.samples) == 3.1 * RATE and sound.fault is None
    assert np.abs(sound.samples - spoken(3.1) * 32768).max() < 2


@pytest.mark.parametrize("share", [0.5, 1])
def test_a_sphere_recording_that_is_cut_says_so(tmp_path, spoken, share):
    soundfile.write(tmp_path / "x", spoken(3.1), RATE, format="NIST")
    sound = read_with_notes(cut(tmp_path / "x", share), RATE)
    assert sound.fault == (None if share == 1 else "truncated")
    assert len(sound.samples) / RATE == pytest.approx(3.1 * share, abs=0.05)


@pytest.mark.parametrize("sizes", [(0, 0, 0), (30_100, 30_000, 15_000), (2**64 - 1,) * 3])
@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
def test_wav_of_64_bits_with_a_length_that_is_not_so(tmp_path, spoken, name, sizes):
    path = tmp_path / "x.wav"
    soundfile.write(path, spoken(3.1), RATE, format="RF64")
    content = bytearray(name + path.read_bytes()[4:])
    place = content.index(b"ds64") + 8
    whole = bytes(content)
    content[place : place + 24] = struct.pack("<QQQ", *sizes)
    path.write_bytes(content)
    assert seconds(path) == 3.1
    path.write_bytes(whole)
    assert promised(path) == 3.1
    sound = read_with_notes(cut(path, 0.5), RATE)
    assert sound.fault == "truncated" and sound.notes[0].startswith("ends early: its header promises 3.1 s")


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("other", ["WAV", "AU", "FLAC"])
def test_joined_recordings_are_refused(tmp_path, spoken, form, other):
    soundfile.write(tmp_path / "a", spoken(1.5), RATE, format=form)
    soundfile.write(tmp_path / "b", spoken(1.5), RATE, format=other)
    path = joined(tmp_path / "x.wav", tmp_path / "a", tmp_path / "b")
    with pytest.raises(AudioError, match=r"x\.wav: 2 recordings joined into one file; split it") as refused:
        seconds(path)
    assert refused.value.reason == "joined"


def test_wav_with_two_blocks_of_samples_is_refused(tmp_path, spoken):
    path = tmp_path / "x.wav"
    soundfile.write(path, spoken(3.1), RATE)
    content = path.read_bytes()
    half = struct.pack("<4sI", b"data", len(content[44:]) // 2)
    path.write_bytes(content[:36] + half + content[44 : 44 + 49600] + half + content[44 + 49600 :])
    with pytest.raises(AudioError, match="2 recordings joined"):
        seconds(path)


def test_joined_or_unfinished_mp4_is_refused(tmp_path, spoken):
    path = recordings.write(tmp_path / "x.m4a", spoken(3.1), RATE, "aac", "mp4")
    content = path.read_bytes()
    for changed, said, reason in (
        (content * 2, "several MP4 files joined into one; split it before each `ftyp`", "joined"),
        (content[: len(content) // 2], "its index is missing, so it was cut or never finished", "truncated"),
    ):
        path.write_bytes(changed)
        with pytest.raises(AudioError, match=rf"x\.m4a: {said}") as refused:
            seconds(path)
        assert refused.value.reason == reason

"""What stands around the sound: tags before it, tracks beside it, blocks and planes that it is divided into."""

import fractions
import struct
import uuid

import av
import numpy as np
import pytest
import soundfile

from telucodec.audio.reading import opened, read, read_with_notes
from telucodec.errors import AudioError
from tests.codec.audio import recordings

RATE = 16000


def tag(size, flags=0):
    """An ID3v2 tag of so many bytes, with a footer if the flags say so."""
    content = b"TIT2" + bytes(size - 4)
    length = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0" + bytes([flags]) + length + content + (b"3DI\x04\0\x10" + length if flags else b"")


def is_like(samples, voice, delay=0.1):
    """Whether int16 samples hold a voice, at most so many seconds late."""
    middle = voice[RATE : 2 * RATE]
    found = np.correlate(samples[RATE : int((2 + delay) * RATE)] / 32768, middle, "valid").max()
    return found > 0.9 * np.square(middle).sum()


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"])
@pytest.mark.parametrize("tags", [tag(1000), tag(200) + tag(300), tag(5000, flags=0x10)], ids=["one", "two", "footer"])
def test_a_recording_behind_tags_is_read(tmp_path, spoken, form, tags):
    path = tmp_path / "x.wav"
    soundfile.write(path, spoken(3.1), RATE, format=form)
    plain = path.read_bytes()
    path.write_bytes(tags + plain)
    sound = read_with_notes(path, RATE)
    assert not sound.notes and len(sound.samples) == 3.1 * RATE
    assert np.abs(sound.samples - 32768 * spoken(3.1)).max() < 2
    path.write_bytes(tags + plain[: len(plain) // 2])
    assert read_with_notes(path, RATE).fault in ("truncated", "damaged")


@pytest.mark.parametrize(
    "codec, container",
    [
        ("aac", "mp4"),
        ("aac", "adts"),
        ("libmp3lame", "mp3"),
        ("libopus", "ogg"),
        ("libopus", "matroska"),
        ("wavpack", "wv"),
    ],
)
def test_a_compressed_recording_behind_tags_is_read(tmp_path, spoken, codec, container):
    path = recordings.write(tmp_path / "x", spoken(3.1), RATE, codec, container)
    plain = read(path, RATE)
    path.write_bytes(tag(1000) + path.read_bytes())
    assert np.array_equal(read(path, RATE), plain) and is_like(plain, spoken(3.1))


@pytest.mark.parametrize("content", [tag(1000), tag(1000)[:600], tag(1000) + bytes(9000), tag(100) + b"no sound" * 99])
def test_tags_without_a_recording_are_refused(tmp_path, content):
    (tmp_path / "x.mp3").write_bytes(content)
    with pytest.raises(AudioError, match=r"x\.mp3: not a format .*convert it to WAV or FLAC"):
        read(tmp_path / "x.mp3", RATE)


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_eight_channels(tmp_path, spoken, subtype):
    """PyAV's own conversion ends the process where eight channels or more have a plane each."""
    voices = np.stack([spoken(0.5, seed, 48000) for seed in range(8)], axis=1)
    soundfile.write(tmp_path / "x", voices, 48000, format="OGG", subtype=subtype)
    with opened(tmp_path / "x") as recording:
        samples = np.concatenate(list(recording.blocks))
    assert samples.shape == voices.shape
    likeness = np.corrcoef(samples, voices, rowvar=False)[:8, 8:]
    assert (likeness.max(axis=1) > 0.9).sum() >= 7  # Opus keeps only the bass of one
    assert len(set(likeness.argmax(axis=1))) >= 7


def test_every_block_of_voc_is_read(tmp_path, spoken):
    """libsndfile takes the headers of all blocks but the first for samples."""
    path = recordings.write(tmp_path / "x.voc", spoken(3.1), RATE, "pcm_s16le", "voc")
    assert np.array_equal(read(path, RATE), np.round(spoken(3.1) * 32767))


@pytest.mark.parametrize("container", ["matroska", "mov"])
@pytest.mark.parametrize("default", [0, 1])
def test_of_several_tracks_the_default_is_taken_with_a_word(tmp_path, spoken, container, default):
    voices = [spoken(3.0, 1), spoken(3.0, 2)]
    with av.open(str(tmp_path / "x"), "w", format=container) as film:
        for number in range(len(voices)):
            stream = film.add_stream("pcm_s16le", rate=RATE)
            stream.layout, stream.time_base = "mono", fractions.Fraction(1, RATE)
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        for stream, voice in zip(film.streams, voices, strict=True):
            frame = av.AudioFrame.from_ndarray(np.round(voice * 32767).astype(np.int16)[None], "s16", "mono")
            frame.sample_rate = RATE
            film.mux([*stream.encode(frame), *stream.encode()])
    sound = read_with_notes(tmp_path / "x", RATE)
    assert sound.notes == [f"audio track {default + 1} of 2 is taken; the file holds others"]
    assert np.array_equal(sound.samples, np.round(voices[default] * 32767))


@pytest.mark.parametrize("codec", ["pcm_f32le", "pcm_f64le", "pcm_s24le", "pcm_mulaw"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_extensible_w64_holds_what_its_header_says(tmp_path, spoken, codec, is_whole):
    """libsndfile takes floating-point samples for integers there."""
    path = recordings.write(tmp_path / "x.w64", spoken(1.0), RATE, codec, "w64")
    content = path.read_bytes()
    path.write_bytes(content if is_whole else content[:-4000])
    samples = read_with_notes(path, RATE).samples / 32768
    assert (len(samples) == RATE) == is_whole
    assert np.abs(samples - spoken(1.0)[: len(samples)]).max() < (0.02 if codec == "pcm_mulaw" else 1e-4)


@pytest.mark.parametrize("bits", [16, 20, 24, 32])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_caf_that_do_not_fill_their_bytes(tmp_path, spoken, bits, channels):
    """Of 24 bits in 4 bytes ffmpeg reads 3 bytes, which is noise."""
    voice = np.repeat(spoken(1.0)[:, None], channels, axis=1)
    samples = (voice * 2**31).astype("<i4").tobytes()
    description = struct.pack(">d4sIIIII", RATE, b"lpcm", 2, 4 * channels, 1, channels, bits)
    head = b"caff\0\1\0\0desc" + struct.pack(">Q", 32) + description
    (tmp_path / "x.caf").write_bytes(head + b"data" + struct.pack(">QI", 4 + len(samples), 0) + samples)
    assert np.abs(read(tmp_path / "x.caf", RATE) / 32768 - voice[:, 0]).max() < 1e-4


@pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame"])
def test_an_encrypted_recording_is_refused(tmp_path, spoken, codec):
    """Without its key some codecs make noise of it."""
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "1" * 32, "encryption_kid": "2" * 32}
    path = recordings.write(tmp_path / "x.m4a", spoken(1.0, 0, 48000), 48000, codec, "mp4", **key)
    assert is_refused_as_encrypted(path)


def is_refused_as_encrypted(path):
    with pytest.raises(AudioError, match=r"its sound is encrypted; get it without copy protection") as refused:
        read(path, RATE)
    return refused.value.reason == "encrypted"


def test_aac_in_wav_is_read_where_its_frames_have_headers(tmp_path, spoken):
    frames = recordings.write(tmp_path / "x.aac", spoken(3.1), RATE, "aac", "adts").read_bytes()
    kind = struct.pack("<4sIHHIIHH", b"fmt ", 16, 0xFF, 1, RATE, 6000, 1, 0)
    sound = struct.pack("<4sI", b"data", len(frames)) + frames + bytes(len(frames) % 2)
    size = struct.pack("<I", 4 + len(kind + sound))
    (tmp_path / "x.wav").write_bytes(b"RIFF" + size + b"WAVE" + kind + sound)
    assert is_like(read(tmp_path / "x.wav", RATE), spoken(3.1), delay=0.2)
    recordings.write(tmp_path / "y.wav", spoken(3.1), RATE, "aac", "wav")
    with pytest.raises(AudioError, match=r"y\.wav: AAC in WAV without frames' lengths"):
        read(tmp_path / "y.wav", RATE)


def test_encrypted_matroska_is_refused(tmp_path, spoken):
    path = recordings.write(tmp_path / "x", spoken(1.0, 0, 48000), 48000, "libopus", "webm", seekable=False)
    content = path.read_bytes()
    place = content.index(b"\x73\xc5\x88")  # the track's number, language and lacing give their bytes
    encryption = bytes.fromhex("6d8092 62408f 50338101 503588 47e18105 47e28101")
    path.write_bytes(content[:place] + encryption + content[place + 21 :])
    assert is_refused_as_encrypted(path)


@pytest.mark.parametrize(
    "identifier",
    [
        "2211b3fb-bd23-11d2-b4b7-00a0c955fc6e",
        "298ae614-2622-4c17-b935-dae07ee9289c",
        "43058533-6981-49e6-9b74-ad12cb86d58c",
    ],
)
def test_encrypted_asf_is_refused(tmp_path, spoken, identifier):
    path = recordings.write(tmp_path / "x", spoken(1.0), RATE, "wmav2", "asf")
    content = path.read_bytes()
    size, objects = struct.unpack_from("<QI", content, 16)
    more = uuid.UUID(identifier).bytes_le + struct.pack("<Q", 40) + bytes(16)
    path.write_bytes(content[:16] + struct.pack("<QI", size + 40, objects + 1) + content[28:30] + more + content[30:])
    assert is_refused_as_encrypted(path)

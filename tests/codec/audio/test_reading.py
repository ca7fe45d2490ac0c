import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from telucodec.audio import reading
from telucodec.audio.reading import read_channels
from telucodec.errors import AudioError


@pytest.mark.parametrize(
    "name, rate, channels, subtype, tolerance",
    [
        ("a.wav", 8000, 1, "PCM_U8", 1e-2),
        ("b.WAV", 16000, 1, "PCM_16", 1e-4),
        ("c.wav", 44100, 2, "PCM_24", 1e-6),
        ("d.wav", 48000, 1, "FLOAT", 0),
        ("e.flac", 22050, 2, "PCM_16", 1e-4),
        ("f.ogg", 32000, 1, "VORBIS", 0.2),
        ("g.mp3", 16000, 1, "MPEG_LAYER_III", 0.2),
        ("ఖేచర.wav", 16000, 1, "PCM_16", 1e-4),
    ],
)
def test_formats(tmp_path, spoken, name, rate, channels, subtype, tolerance):
    wanted = np.stack([spoken(0.7, seed, rate) for seed in range(channels)], axis=1)
    path = tmp_path / name
    soundfile.write(path, wanted, rate, subtype=subtype, format="MP3" if name.endswith("mp3") else None)
    samples, own_rate = read_channels(path)
    assert own_rate == rate and samples.dtype == np.float32 and samples.shape[1] == channels
    assert abs(len(samples) - len(wanted)) <= (0 if tolerance < 0.1 else 2400)
    if tolerance < 0.1:
        assert np.abs(samples - wanted).max() <= tolerance


def test_wave_format_extensible(tmp_path, spoken):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.stack([spoken(0.5), spoken(0.5, 1)], 1), 44100, format="WAVEX", subtype="PCM_16")
    assert read_channels(path)[0].shape == (8000, 2)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "pointer"),
        (b"this is no audio\n", "not_audio"),
        *(("a" * shift + "తెలుగు" * 99, "not_audio") for shift in range(3)),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "unreadable"),
        (bytes(range(256)) * 4, "unreadable"),
    ],
)
def test_a_file_without_audio_has_a_reason(tmp_path, content, reason):
    path = tmp_path / "x.wav"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AudioError) as refused:
        read_channels(path)
    assert refused.value.reason == reason
    assert str(refused.value).startswith(f"{path}: ")


def test_a_missing_file_is_unreadable(tmp_path):
    with pytest.raises(AudioError) as refused:
        read_channels(tmp_path / "gone.wav")
    assert refused.value.reason == "unreadable"


def test_m4a_without_ffmpeg_states_what_is_missing(tmp_path, monkeypatch):
    path = tmp_path / "x.m4a"
    path.write_bytes(b"\x00\x00\x00\x18ftypM4A ")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError, match="ffmpeg, which is not installed"):
        read_channels(path)


def test_a_pipe_or_a_folder_is_unreadable(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    for name in ("pipe.wav", "folder.wav"):
        with pytest.raises(AudioError, match=r"not a regular file|a folder"):
            read_channels(tmp_path / name)


def test_a_header_that_promises_too_much_costs_no_memory(tmp_path, spoken):
    path = tmp_path / "x.flac"
    soundfile.write(path, spoken(0.5), 16000)
    whole = bytearray(path.read_bytes())
    whole[21] |= 0x0F  # the 36 bits of STREAMINFO that count the samples: more than 200 GB as float32
    whole[22:26] = b"\xff" * 4
    path.write_bytes(whole)
    try:
        samples, _ = read_channels(path)
        assert len(samples) <= 8000
    except AudioError as error:
        assert error.reason == "unreadable"


@given(data=st.data(), form=st.sampled_from(["WAV", "WAVEX", "FLAC", "OGG", "MP3", "AIFF"]))
def test_damage_is_reported_or_skipped(data, form):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x.{form.lower()}")
        soundfile.write(path, np.sin(np.arange(1600) / 9), 16000, format=form)
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, min(len(content), 400) - 1), max_size=6)):
            content[place] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
        path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
        try:
            samples, rate = read_channels(path)
        except AudioError as error:
            assert error.reason in {"unreadable", "not_audio"} and str(path) in str(error)
        else:
            assert samples.dtype == np.float32 and samples.ndim == 2 and rate > 0


def test_many_blocks_are_one_recording(tmp_path, spoken, monkeypatch):
    soundfile.write(tmp_path / "x.flac", spoken(0.3), 1000)  # 4.8 s at this rate
    whole = read_channels(tmp_path / "x.flac")[0]
    for seconds in (1, 2):
        monkeypatch.setattr(reading, "BLOCK_SECONDS", seconds)
        assert np.array_equal(read_channels(tmp_path / "x.flac")[0], whole)


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    """Commands named ffmpeg and ffprobe that answer with given audio, or refuse where it is None."""

    def install(samples: np.ndarray | None, rate: int, subtype: str, streams: list[dict]) -> None:
        commands = tmp_path / "commands"
        commands.mkdir()
        if samples is None:
            says = 'while [ "$1" != -i ]; do shift; done; echo "$2: Invalid data found" >&2; exit 1'
        else:
            soundfile.write(commands / "output.wav", samples, rate, subtype=subtype)
            says = f"cat '{commands}/output.wav'"
        (commands / "streams.json").write_text(json.dumps({"streams": streams} if streams else {}))
        probe = f"echo '    Stream #0:0: Audio: opus, 48000 Hz, stereo, fltp' >&2; cat '{commands}/streams.json'"
        for name, does in (("ffmpeg", says), ("ffprobe", probe)):
            (commands / name).write_text(f"#!/bin/sh\n{does}\n")
            (commands / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")

    return install


@pytest.mark.parametrize("subtype, width", [("PCM_16", 16), ("PCM_32", 32)])
def test_ffmpeg_output_is_scaled_by_its_sample_width(tmp_path, spoken, fake_ffmpeg, subtype, width):
    wanted = np.stack([spoken(0.5, 1, 48000), 0.5 * spoken(0.5, 2, 48000)], axis=1)
    stream = {"index": 0, "codec_type": "audio", "codec_name": "opus", "bits_per_sample": width}
    fake_ffmpeg(wanted, 48000, subtype, [stream])
    (tmp_path / "ఆట.WebM").write_bytes(b"as good as any")
    samples, rate = read_channels(tmp_path / "ఆట.WebM")
    assert rate == 48000 and samples.dtype == np.float32 and samples.shape == wanted.shape
    assert np.abs(samples - wanted).max() < 1e-4


def test_a_film_without_sound_is_no_audio(tmp_path, spoken, fake_ffmpeg):
    fake_ffmpeg(spoken(0.5)[:, None], 16000, "PCM_16", [{"codec_type": "video", "codec_name": "h264", "index": 0}])
    (tmp_path / "x.mp4").write_bytes(b"as good as any")
    with pytest.raises(AudioError, match="no audio track"):
        read_channels(tmp_path / "x.mp4")


def test_a_file_that_ffmpeg_cannot_decode_is_unreadable(tmp_path, fake_ffmpeg):
    fake_ffmpeg(None, 0, "", [])
    (tmp_path / "x.m4a").write_bytes(b"as good as any")
    with pytest.raises(AudioError, match="Invalid data found") as refused:
        read_channels(tmp_path / "x.m4a")
    assert refused.value.reason == "unreadable"

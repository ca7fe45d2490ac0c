import numpy as np
import pytest
import soundfile

from pipeline import audio
from pipeline.audio import AudioError, read


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
    samples, own_rate = read(path)
    assert own_rate == rate and samples.dtype == np.float32 and samples.shape[1] == channels
    assert abs(len(samples) - len(wanted)) <= (0 if tolerance < 0.1 else 2400)
    if tolerance < 0.1:
        assert np.abs(samples - wanted).max() <= tolerance


def test_wave_format_extensible(tmp_path, spoken):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.stack([spoken(0.5), spoken(0.5, 1)], 1), 44100, format="WAVEX", subtype="PCM_16")
    assert read(path)[0].shape == (8000, 2)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "pointer"),
        (b"this is no audio\n", "not_audio"),
        ("తెలుగు పాఠం".encode() * 9, "not_audio"),
        (b"RIFF\x10\x00\x00\x00WAVEfmt ", "unreadable"),
        (bytes(range(256)) * 4, "unreadable"),
    ],
)
def test_what_is_no_audio_has_a_reason(tmp_path, content, reason):
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError) as refused:
        read(path)
    assert refused.value.reason == reason
    assert refused.value.detail


def test_a_missing_file_is_unreadable(tmp_path):
    with pytest.raises(AudioError) as refused:
        read(tmp_path / "gone.wav")
    assert refused.value.reason == "unreadable"


def test_m4a_without_ffmpeg_says_what_is_missing(tmp_path, monkeypatch):
    path = tmp_path / "x.m4a"
    path.write_bytes(b"\x00\x00\x00\x18ftypM4A ")
    monkeypatch.setattr(audio.shutil, "which", lambda name: None)
    with pytest.raises(AudioError, match="ffmpeg, which is not installed"):
        read(path)

import gc
import os
import struct
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from telucodec.audio import decoders
from telucodec.audio.reading import opened, read
from telucodec.errors import AudioError, AudioWarning
from tests.codec.audio import recordings
from tools import fuzz_audio


def read_channels(path):
    """All samples [frames, channels] of a recording, and its rate."""
    with opened(path) as recording:
        blocks = [np.zeros((0, recording.channels), np.float32), *recording.blocks]
    return np.concatenate(blocks), recording.rate


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
        (b"PK\x03\x04" + bytes(99), "not_audio"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "not_audio"),
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
    recordings.write(tmp_path / "x.mp3", spoken(2.0), 16000, "libmp3lame", "mp3")
    for name in ("x.flac", "x.mp3"):
        whole = read_channels(tmp_path / name)[0]
        for samples in (1000, 3000):
            with monkeypatch.context() as patched:
                patched.setattr(decoders, "BLOCK", samples)
                assert np.array_equal(read_channels(tmp_path / name)[0], whole)


@pytest.mark.parametrize(
    "name, codec, container, rate",
    [
        ("browser.wav", "libopus", "webm", 48000),
        ("browser.opus", "libopus", "webm", 48000),
        ("aac.wav", "aac", "adts", 16000),
        ("aac.mp3", "aac", "adts", 16000),
        ("mp3.wav", "libmp3lame", "mp3", 16000),
        ("g722.wav", "g722", "wav", 16000),
        ("telephone.wav", "adpcm_ms", "wav", 8000),
        ("apple.caf", "alac", "caf", 16000),
        ("apple.m4a", "alac", "ipod", 16000),
        ("apple.dat", "aac", "mp4", 16000),
        ("old.wma", "wmav2", "asf", 16000),
        ("mobile.amr", "libopencore_amrnb", "amr", 8000),
        ("opus.ogg", "libopus", "ogg", 48000),
        ("opus.flac", "libopus", "ogg", 48000),
        ("ఆట\u2028.mp3", "libmp3lame", "mp3", 16000),
    ],
)
def test_the_content_decides_and_not_the_name(tmp_path, spoken, name, codec, container, rate):
    wanted = spoken(3.1, 0, rate)
    path = recordings.write(tmp_path / name, wanted, rate, codec, container)
    samples, own_rate = read_channels(path)
    assert own_rate == rate
    assert abs(len(samples) - len(wanted)) < 0.25 * rate  # encoders pad
    middle = wanted[rate // 2 : 2 * rate]  # encoders delay
    likeness = np.correlate(samples[:, 0], middle, "valid").max()
    assert likeness > 0.8 * np.square(middle).sum()


def test_24_bits_and_more_are_exact(tmp_path, spoken):
    voice = spoken(0.5).astype(np.float64)
    for subtype in ("PCM_24", "PCM_32", "DOUBLE"):
        soundfile.write(tmp_path / "x.wav", voice, 16000, subtype=subtype)
        assert np.abs(read_channels(tmp_path / "x.wav")[0][:, 0] - voice).max() < 1e-6
    for codec in ("pcm_s64le", "pcm_f64le", "pcm_s24le"):
        recordings.write(tmp_path / "x.wav", voice, 16000, codec, "wav")
        assert np.abs(read_channels(tmp_path / "x.wav")[0][:, 0] - voice).max() < 1e-4


@pytest.mark.parametrize(
    "form, subtype",
    [
        *(("WAV", subtype) for subtype in ("G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32", "IMA_ADPCM")),
        *(("AU", subtype) for subtype in ("G721_32", "G723_24", "G723_40", "ULAW", "ALAW")),
        *(("CAF", subtype) for subtype in ("ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32")),
    ],
)
def test_compressed_samples_that_one_decoder_makes_noise_of_or_cuts(tmp_path, spoken, form, subtype):
    voice = spoken(3.0)
    soundfile.write(tmp_path / "x", voice, 16000, format=form, subtype=subtype)
    samples = read_channels(tmp_path / "x")[0][:, 0]
    assert 0 <= len(samples) - len(voice) < 1024
    error = np.square(samples[: len(voice)] - voice).sum()
    assert np.square(voice).sum() / error > (1e6 if form == "CAF" else 20)


def test_a_film_without_sound_is_no_recording(tmp_path):
    with av.open(str(tmp_path / "x.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        film.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        film.mux(stream.encode())
    with pytest.raises(AudioError, match=r"x\.mp4: holds no audio track, only video") as refused:
        read_channels(tmp_path / "x.mp4")
    assert refused.value.reason == "not_audio"


def test_a_file_names_no_other_file_to_be_read(tmp_path, spoken):
    """A playlist may name files and network addresses, and ffmpeg would open them; a stray byte makes it no text."""
    recordings.write(tmp_path / "secret.aac", spoken(1.0), 16000, "aac", "adts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#\xff\n#EXTINF:9,\n{tmp_path}/secret.aac\n#EXT-X-ENDLIST\n"
    (tmp_path / "x.wav").write_bytes(playlist.encode("latin-1"))
    with pytest.raises(AudioError):
        read_channels(tmp_path / "x.wav")


def test_integers_saved_as_floating_point_are_refused_with_the_remedy(tmp_path, spoken):
    soundfile.write(tmp_path / "x.wav", spoken(1.0) * 32768, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="divide them by 32768") as refused:
        read(tmp_path / "x.wav", 16000)
    assert refused.value.reason == "wrong_scale"


def test_integers_of_24_bits_are_told_their_own_full_scale(tmp_path, spoken):
    soundfile.write(tmp_path / "x.wav", spoken(1.0) * (1 << 23), 16000, subtype="DOUBLE")
    with pytest.raises(AudioError, match="divide them by 8388608"):
        read(tmp_path / "x.wav", 16000)


def test_loud_floating_point_is_clipped_with_a_word(tmp_path, spoken):
    soundfile.write(tmp_path / "x.wav", spoken(1.0) * 4, 16000, subtype="FLOAT")
    with pytest.warns(AudioWarning, match=r"reaches 2\.0. of full scale and is clipped"):
        assert read(tmp_path / "x.wav", 16000).max() == 32767


@pytest.mark.parametrize("rate", [0, 1, 2**31 - 1])
def test_a_senseless_sample_rate_is_refused(tmp_path, spoken, rate):
    soundfile.write(tmp_path / "x.wav", spoken(0.5), 16000)
    content = bytearray((tmp_path / "x.wav").read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    (tmp_path / "x.wav").write_bytes(content)
    with pytest.raises(AudioError, match=r"x\.wav: "):
        read(tmp_path / "x.wav", 16000)


def test_blocks_of_a_long_recording_need_little_memory(tmp_path):
    with soundfile.SoundFile(tmp_path / "x.wav", "w", 16000, 2) as file:
        for _ in range(60):
            file.write(np.zeros((16000 * 60, 2), np.int16))
    tracemalloc.start()
    with opened(tmp_path / "x.wav") as recording:
        assert sum(map(len, recording.blocks)) == 16000 * 3600
    assert tracemalloc.get_traced_memory()[1] < 50e6  # the hour takes 461 MB
    tracemalloc.stop()


def test_a_chunk_of_a_senseless_size_costs_no_memory(tmp_path):
    head = b"RIFF\x00\x10\x00\x00WAVEfmt \x14\x00\x00\x00" + struct.pack("<HHIIHHHH", 49, 1, 8000, 1625, 65, 0, 2, 320)
    (tmp_path / "x.wav").write_bytes(head + b"LIST" + struct.pack("<I", 0xFF00001A) + b"INFO" + bytes(3000))
    code = """
import sys
from pathlib import Path
from telucodec.audio.reading import read
from telucodec.errors import AudioError
try:
    read(Path(sys.argv[1]), 16000)
except AudioError as error:
    print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "x.wav")]
    assert int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) < 300_000  # kB


@pytest.mark.filterwarnings("ignore::telucodec.errors.AudioWarning")
def test_damaged_recordings_are_read_or_refused_and_alike_from_memory_and_from_a_file(tmp_path, capfd):
    """A short run of tools/fuzz_audio.py."""
    random, originals = np.random.default_rng(1), fuzz_audio.seeds()
    gc.collect()
    opened_before = len(os.listdir("/dev/fd"))
    words = {
        fuzz_audio.outcome(fuzz_audio.damaged(random, originals[label]), tmp_path / "fuzzed")
        for _ in range(60)
        for label in originals
    }
    gc.collect()
    assert words == {"read", "partly read", "refused"} and len(os.listdir("/dev/fd")) == opened_before
    assert "Traceback" not in capfd.readouterr().err  # PyAV prints those that it drops


@pytest.mark.parametrize("content", [b"OggS" + bytes(200), b"\xff\xfb\x90\x64" * 100])
def test_without_pyav_what_needs_it_is_refused_with_a_remedy(monkeypatch, tmp_path, content):
    monkeypatch.setitem(sys.modules, "av", None)  # as if it were not installed
    (tmp_path / "talk.mp3").write_bytes(content)
    with pytest.raises(
        AudioError, match=r"talk\.mp3: libsndfile cannot .*pip install 'telucodec\[formats\]'"
    ) as refused:
        read(tmp_path / "talk.mp3", 16000)
    assert refused.value.reason == "needs_pyav"
    soundfile.write(tmp_path / "talk.wav", np.zeros(1600), 16000)
    assert len(read(tmp_path / "talk.wav", 16000)) == 1600

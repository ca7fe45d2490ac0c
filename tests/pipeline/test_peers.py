"""Codecs to compare with: aligned, counted in bytes of packets, and plain words for what is not there."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from scipy.signal import correlate, correlation_lags

from codec.metrics import snr
from pipeline import peers


def _lag(reference, estimate):
    """Samples by which the estimate is late."""
    lags = correlation_lags(len(estimate), len(reference))
    return lags[correlate(estimate, reference).argmax()]


@pytest.mark.parametrize("name", peers.peer_names())
@pytest.mark.parametrize("samples", [1, 319, 16000 * 2 + 7])
def test_output_is_as_long_as_the_input(spoken, name, samples):
    audio = spoken(3)[:samples]
    coded = peers.code(name, audio, peers.PEERS[name].highest)
    assert coded.audio.shape == audio.shape and coded.audio.dtype == np.float32
    assert coded.payload_bytes > 0


@pytest.mark.parametrize("kbps", [6, 12, 24])
def test_opus_is_aligned(spoken, kbps):
    audio = spoken(4)
    assert _lag(audio, peers.code("opus", audio, kbps).audio) == 0
    assert abs(_lag(audio, peers.PEERS["opus"].code(audio, kbps).audio)) <= 1  # what the pre-skip leaves over


def test_opus_reaches_what_its_rates_promise(spoken):
    """The windows hold what real speech gives: 10 dB at 6 kbit/s, 17 at 12, 25 at 24."""
    audio = spoken(4)
    coded = {kbps: peers.code("opus", audio, kbps) for kbps in (6, 12, 24)}
    kbps = {asked: 8 * each.payload_bytes / 4000 for asked, each in coded.items()}
    decibels = {asked: snr(audio, each.audio) for asked, each in coded.items()}
    assert all(0.6 * asked < kbps[asked] < 1.4 * asked for asked in coded)
    assert 5 < decibels[6] < decibels[12] < decibels[24] < 40
    assert decibels[24] > 12


def test_opus_payload_is_the_bytes_of_its_packets(spoken):
    """The same clip in a file: packets of 20 ms, and with pages and headers they are all of the file."""
    audio, file = spoken(2), io.BytesIO()
    with soundfile.SoundFile(file, "w", 16000, 1, format="OGG", subtype="OPUS", compression_level=0.976) as out:
        out.write(audio)  # 12 kbit/s: 6 at level 1, 256 at level 0
    data = file.getvalue()
    head, tags, *packets = peers.ogg_packets(data)
    assert head == 19  # RFC 7845, section 5.1, one channel
    assert len(packets) == -(-(len(audio) + 104) // 320)  # the encoder looks 6.5 ms ahead
    assert peers.code("opus", audio, 12).payload_bytes == sum(packets)
    pages = data.count(b"OggS")
    lacing = sum(size // 255 + 1 for size in (head, tags, *packets))
    assert len(data) == 27 * pages + lacing + head + tags + sum(packets)


def test_packets_are_counted_over_pages():
    sizes = [19, 255, 0, 600, 3]
    lacing = b"".join(b"\xff" * (size // 255) + bytes([size % 255]) for size in sizes)
    pages = b""
    for part in (lacing[:5], lacing[5:]):  # the 600 bytes begin on one page and end on the next
        pages += b"OggS" + bytes(22) + bytes([len(part)]) + part + bytes(sum(part))
    assert peers.ogg_packets(pages) == sizes


@pytest.mark.skipif("speex" not in peers.peer_names(), reason="needs an ffmpeg built with libspeex")
def test_speex_takes_the_mode_below(spoken):
    audio = spoken(2)
    coded = peers.code("speex", audio, 9.7)
    assert 8 * coded.payload_bytes / 2000 == pytest.approx(8.0, abs=0.1)  # 7.75 kbit/s in frames of whole bytes
    assert _lag(audio, coded.audio) == 0


@pytest.mark.parametrize(
    ("name", "kbps", "says"),
    [
        ("opsu", 12, "no codec 'opsu'.*opus, speex, codec2"),
        ("opus", 3, "opus has no 3 kbit/s; ask for 6 to 256"),
        ("opus", float("nan"), "opus has no nan kbit/s"),
    ],
)
def test_unknown_codec_or_rate(spoken, name, kbps, says):
    with pytest.raises(peers.PeerError, match=says):
        peers.code(name, spoken(0.5), kbps)


def test_codec_that_is_not_installed(spoken, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    peers.ffmpeg_encoders.cache_clear()
    try:
        assert peers.peer_names() == ["opus"]
        with pytest.raises(peers.PeerError, match="speex needs an ffmpeg built with libspeex"):
            peers.code("speex", spoken(0.5), 8)
    finally:
        peers.ffmpeg_encoders.cache_clear()


@pytest.mark.parametrize("audio", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan])])
def test_audio_that_cannot_be_coded(audio):
    with pytest.raises(ValueError, match=r"must be \[samples\]"):
        peers.code("opus", audio.astype(np.float32), 12)


def test_table(spoken, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(peers, "workers", lambda: ThreadPoolExecutor(1))  # fresh processes would take 10 s to import
    for number, rate in enumerate((16000, 44100)):
        soundfile.write(tmp_path / f"{number}.wav", spoken(1.5, seed=number, rate=rate), rate)
    peers.main([str(tmp_path), "--codecs", "opus", "--rates", "12", "3", "24"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("opus")]
    assert [row[1] for row in rows] == ["12", "24"]  # Opus has no 3
    assert float(rows[0][2]) < float(rows[1][2]) and float(rows[0][3]) < float(rows[1][3])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "holds no recordings"),
        (["--codecs", "opsu"], "no codec 'opsu'"),
        (["--codecs", "opus", "--rates", "1"], "opus 6 to 256"),
    ],
)
def test_table_that_cannot_be_made(tmp_path, arguments, says):
    with pytest.raises(SystemExit, match=says):
        peers.main([str(tmp_path), *arguments])

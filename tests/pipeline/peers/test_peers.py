"""Codecs to compare with: aligned, counted in bytes of packets, and plain words for what is not there."""

import os

import numpy as np
import pytest
from scipy.signal import correlate, correlation_lags

from pipeline import peers
from pipeline.peers import ffmpeg, lc3, lyra, nolace, opus
from pipeline.peers.alignment import LONGEST_DELAY, aligned
from telucodec.audio.metrics import snr


def lag(reference, estimate):
    """Samples by which the estimate is late."""
    lags = correlation_lags(len(estimate), len(reference))
    return lags[correlate(estimate, reference).argmax()]


@pytest.mark.parametrize("name", peers.installed())
@pytest.mark.parametrize("samples", [1, 319, 16000 * 2 + 7])
def test_output_is_as_long_as_the_input(spoken, name, samples):
    audio = spoken(3)[:samples]
    coded = peers.code(name, audio, peers.PEERS[name].highest)
    assert coded.audio.shape == audio.shape and coded.audio.dtype == np.float32
    assert coded.payload_bytes > 0


@pytest.mark.parametrize("name", peers.installed())
def test_every_codec_is_measured_at_rates_that_it_has(name):
    peer = peers.PEERS[name]
    assert peer.rates and all(peer.lowest <= rate <= peer.highest for rate in peer.rates)
    assert set(peer.judged) <= set(peer.rates)


@pytest.mark.parametrize("delay", [-LONGEST_DELAY, -7, 0, 320, LONGEST_DELAY])
def test_a_delay_is_taken_out(spoken, delay):
    audio = spoken(2)
    late = np.roll(np.pad(audio, LONGEST_DELAY), delay)[LONGEST_DELAY:][: len(audio)]
    inner = slice(LONGEST_DELAY, -LONGEST_DELAY)
    assert np.array_equal(aligned(audio, late)[inner], audio[inner])


@pytest.mark.parametrize("kbps", [6, 12, 24])
def test_opus_is_aligned(spoken, kbps):
    audio = spoken(4)
    assert lag(audio, peers.code("opus", audio, kbps).audio) == 0
    assert abs(lag(audio, peers.PEERS["opus"].code(audio, kbps).audio)) <= 1  # what the pre-skip leaves over


def test_opus_reaches_what_its_rates_promise(spoken):
    """The windows hold what real speech gives: 10 dB at 6 kbit/s, 17 at 12, 25 at 24."""
    audio = spoken(4)
    coded = {kbps: peers.code("opus", audio, kbps) for kbps in (6, 12, 24)}
    assert all(0.6 * asked < peers.kbps(each) < 1.4 * asked for asked, each in coded.items())
    decibels = {asked: snr(audio, each.audio) for asked, each in coded.items()}
    assert 5 < decibels[6] < decibels[12] < decibels[24] < 40
    assert decibels[24] > 12


def test_opus_payload_is_the_bytes_of_its_packets(spoken):
    """Packets of 20 ms; with pages and headers they are all of the file."""
    audio = spoken(2)
    data, packets = opus.encode(audio, 12, "audio")
    pages, sizes = 0, []
    at = size = 0
    while at < len(data):  # RFC 3533, section 6
        assert data[at : at + 4] == b"OggS"
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        for value in lacing:
            size += value
            if value < 255:
                sizes.append(size)
                size = 0
        at += 27 + len(lacing) + sum(lacing)
        pages += 1
    head, _tags, *audio_packets = sizes
    assert head == 19  # RFC 7845, section 5.1, one channel
    assert audio_packets == list(map(len, packets))
    assert len(packets) == -(-(len(audio) + 104) // 320)  # the encoder looks 6.5 ms ahead
    assert peers.code("opus", audio, 12).payload_bytes == sum(audio_packets)


def test_opus_conceals_packets_that_are_lost(spoken):
    audio = spoken(2)
    _, packets = opus.encode(audio, 12, "voip")
    whole = opus.decode(packets)
    assert lag(audio, whole) == 104 and snr(audio, np.roll(whole, -104)[: len(audio)]) > 5
    loudest = int(np.square(whole[: 90 * 320].reshape(-1, 320)).sum(1).argmax())
    lossy = opus.decode([None if number == loudest else packet for number, packet in enumerate(packets)])
    there = slice(loudest * 320, (loudest + 1) * 320)
    assert np.array_equal(lossy[: there.start], whole[: there.start]) and lossy.shape == whole.shape
    assert (
        not np.array_equal(lossy[there], whole[there])
        and np.square(lossy[there]).sum() > 0.1 * np.square(whole[there]).sum()
    )


def test_clips_do_not_depend_on_each_other(spoken):
    """Networks keep state from frame to frame; a new clip must not hear the one before."""
    first, second = spoken(1, seed=1), spoken(1, seed=2)
    for name in peers.installed():
        lowest = peers.PEERS[name].lowest
        alone = peers.code(name, second, lowest)
        peers.code(name, first, lowest)
        assert np.array_equal(peers.code(name, second, lowest).audio, alone.audio)


@pytest.mark.skipif("nolace" not in peers.installed(), reason=f"nolace {nolace.PEER.missing()}")
def test_nolace_changes_what_opus_decodes(spoken):
    audio = spoken(3)
    enhanced = peers.code("nolace", audio, 9)
    _, packets = opus.encode(audio, 9, "voip")
    assert enhanced.payload_bytes == sum(map(len, packets))
    assert 6 < peers.kbps(enhanced) < 12
    assert lag(audio, enhanced.audio) == 0 and snr(audio, enhanced.audio) > 3


@pytest.mark.skipif("lyra" not in peers.installed(), reason=f"lyra {lyra.PEER.missing()}")
@pytest.mark.parametrize(("asked", "spent"), [(3.2, 3.2), (5.9, 3.2), (6, 6), (9.2, 9.2)])
def test_lyra_has_three_constant_rates(spoken, asked, spent):
    audio = spoken(2)
    coded = peers.code("lyra", audio, asked)
    assert peers.kbps(coded) == pytest.approx(spent)
    assert lag(audio, coded.audio) == 0


@pytest.mark.skipif("lc3" not in peers.installed(), reason=f"lc3 {lc3.PEER.missing()}")
@pytest.mark.parametrize(("asked", "spent"), [(16, 16), (24.5, 24), (32, 32)])
def test_lc3_has_frames_of_whole_bytes(spoken, asked, spent):
    audio = spoken(2)
    coded = peers.code("lc3", audio, asked)
    assert peers.kbps(coded) == pytest.approx(spent, rel=0.01)  # a frame more, for the end of the clip
    assert lag(audio, coded.audio) == 0 and snr(audio, coded.audio) > 8


@pytest.mark.skipif("speex" not in peers.installed(), reason="needs an ffmpeg built with libspeex")
def test_speex_takes_the_mode_below(spoken):
    audio = spoken(2)
    coded = peers.code("speex", audio, 9.7)
    assert peers.kbps(coded) == pytest.approx(8.0, abs=0.1)  # 7.75 kbit/s in frames of whole bytes
    assert lag(audio, coded.audio) == 0


@pytest.mark.parametrize(
    ("name", "kbps", "says"),
    [
        ("opsu", 12, "no codec 'opsu'.*opus, nolace, lyra, lc3, speex, codec2"),
        ("opus", 3, "opus has no 3 kbit/s; ask for 6 to 256"),
        ("opus", float("nan"), "opus has no nan kbit/s"),
    ],
)
def test_unknown_codec_or_rate(spoken, name, kbps, says):
    with pytest.raises(peers.PeerError, match=says):
        peers.code(name, spoken(0.5), kbps)


def test_codecs_that_are_not_installed_say_what_they_need(spoken, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(lyra.VARIABLE, raising=False)
    for room in (opus, lc3):
        monkeypatch.setattr(room, "find_spec", lambda name: None)
    ffmpeg.encoders.cache_clear()
    try:
        assert peers.installed() == []
        for name, says in (
            ("opus", "needs PyAV: pip install 'telucodec"),
            ("nolace", "needs Node.js"),
            ("lyra", "needs TELUCODEC_LYRA_MODELS=FOLDER with soundstream_encoder.tflite"),
            ("lc3", "needs lc3py: pip install 'telucodec"),
            ("speex", "needs an ffmpeg built with libspeex"),
        ):
            with pytest.raises(peers.PeerError, match=f"{name} {says}"):
                peers.code(name, spoken(0.5), 8)
    finally:
        ffmpeg.encoders.cache_clear()


def test_nolace_names_the_packages_it_lacks(monkeypatch, tmp_path):
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.touch(mode=0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(node.parent), os.environ["PATH"]]))
    monkeypatch.delenv("NODE_PATH", raising=False)
    assert (
        nolace.PEER.missing()
        == "needs packages for Node.js: npm install -g ogg-opus-decoder @wasm-audio-decoders/opus-ml"
    )


@pytest.mark.parametrize("audio", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan])])
def test_audio_that_cannot_be_coded(audio):
    with pytest.raises(ValueError, match=r"must be \[samples\]"):
        peers.code("opus", audio.astype(np.float32), 12)

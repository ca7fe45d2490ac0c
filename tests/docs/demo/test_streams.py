"""Streams of the page's codec: packet by packet the bytes, the tokens and the sound of Python's stream encoders and decoders."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telucodec
from telucodec.files.container import write_packet
from tests.conftest import speech

HALF_A_STEP = 0.5 / 32768  # of 16-bit samples: networks in floating point are not the same to the bit
PIECE = 700  # samples: no whole number of frames

SETUP = """async () => {
  const { Codec } = await import("./codec/codec.js");
  window.codec = new Codec("models/");
  window.cut = (array, ends) => [...ends, array.length].map((end, n) => array.subarray(n ? ends[n - 1] : 0, end));
  window.encoded = async (samples, point, ends) => {
    const encoder = await ("tokens" in point ? codec.tokenEncoder(point.tokens) : codec.streamEncoder(point));
    return [...cut(Float32Array.from(samples), ends).map((piece) => encoder.push(piece)), encoder.finish()];
  };
}"""

WAVEFORM = """async ([samples, point, ends]) => {
  const sent = await encoded(samples, point, ends);
  const [plain, enhanced] = [await codec.streamDecoder(false), await codec.streamDecoder()];
  const [heard, better] = [plain, enhanced].map((decoder) => sent.map((bytes) => [...decoder.push(bytes)]));
  return { sent: sent.map((bytes) => [...bytes]), heard, better, samples: plain.samples };
}"""

TOKENS = """async ([samples, count, ends]) => {
  const sent = await encoded(samples, { tokens: count }, ends);
  const decoder = await codec.tokenDecoder();
  const heard = sent.map((codes) => [...decoder.push(codes)]);
  const file = (await codec.tokens()).file(count);
  sent.forEach((codes) => file.push(codes));
  const data = file.finish(samples.length).parts.flatMap((part) => [...part]);
  return { sent: sent.map((codes) => codes.map((own) => [...own])), heard, data };
}"""

CUT = """async ([data, ends]) => {
  const decoder = await codec.streamDecoder(false);
  const heard = cut(Uint8Array.from(data), ends).flatMap((bytes) => [...decoder.push(bytes)]);
  return { heard, samples: decoder.samples, ended: decoder.ended };
}"""


@pytest.fixture(scope="module")
def page(new_page, address):
    page = new_page()
    page.goto(address)
    page.evaluate(SETUP)
    return page


@pytest.fixture(scope="module")
def telu():
    return telucodec.load()


def ends(audio):
    return list(range(PIECE, len(audio), PIECE))


def pieces(audio):
    return np.split(audio, ends(audio))


@pytest.mark.parametrize("point", [{"step": 640}, {"step": 300, "perception": 1}, {"kbps": 5, "perception": 1}])
def test_a_stream_of_a_waveform_is_pythons_packet_by_packet(page, telu, point):
    audio = speech(1.1)  # with more than one key packet
    found = page.evaluate(WAVEFORM, [audio.tolist(), point, ends(audio)])
    encoder = telu.stream_encoder(**point)
    sent = [*map(encoder.push, pieces(audio)), encoder.finish()]
    assert [bytes(part) for part in found["sent"]] == sent
    plain, enhanced = telu.stream_decoder(enhance=False), telu.stream_decoder()
    for part, heard, better in zip(sent, found["heard"], found["better"], strict=True):
        assert np.array_equal(np.array(heard, np.float32), plain.push(part))
        expected = enhanced.push(part)
        assert len(better) == len(expected) and np.abs(np.array(better) - expected).max(initial=0) < HALF_A_STEP
    assert found["samples"] == plain.samples == len(audio)


def test_what_does_not_fit_is_coded_again_or_left_empty(page, telu):
    loud = np.random.default_rng(0).normal(0, 0.3, 16000).clip(-1, 1).astype(np.float32)
    point = {"kbps": 4.2, "perception": 1}
    found = page.evaluate(WAVEFORM, [loud.tolist(), point, []])
    encoder, decoder = telu.stream_encoder(**point), telu.stream_decoder(enhance=False)
    data = encoder.push(loud) + encoder.finish()
    assert bytes([*chain(*found["sent"])]) == data and b"\xa5\x00" in data  # a packet that holds nothing
    assert np.array_equal(np.array([*chain(*found["heard"])], np.float32), decoder.push(data))


@pytest.mark.parametrize("count", [1, 8])
def test_a_stream_of_tokens_is_pythons_frame_by_frame(page, telu, count):
    audio = speech(2.2)  # more than one packet of the file
    found = page.evaluate(TOKENS, [audio.tolist(), count, ends(audio)])
    encoder, decoder = telu.token_encoder(count), telu.token_decoder()
    sent = [*map(encoder.push, pieces(audio)), encoder.finish()]
    for codes, heard, expected in zip(found["sent"], found["heard"], sent, strict=True):
        assert np.array_equal(np.array(codes).reshape(-1, count).T, expected)
        sound = decoder.push(expected)
        assert len(heard) == len(sound) and np.abs(np.array(heard) - sound).max(initial=0) < HALF_A_STEP
    assert bytes(found["data"]) == telu.encode(audio, tokens=count)


@settings(max_examples=6)
@given(st.data())
def test_samples_and_bytes_may_be_cut_anywhere(page, telu, data):
    audio = speech(0.125)[: data.draw(st.integers(0, 2000))]
    places = st.lists(st.integers(0, len(audio)), max_size=4).map(sorted)
    point = {"step": 300, "perception": data.draw(st.sampled_from([0, 1]))}
    found = page.evaluate(WAVEFORM, [audio.tolist(), point, data.draw(places)])
    encoder = telu.stream_encoder(**point)
    stream = encoder.push(audio) + encoder.finish()
    assert bytes([*chain(*found["sent"])]) == stream
    bytes_cut = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    heard = page.evaluate(CUT, [list(stream), bytes_cut])
    assert heard == {"heard": [*chain(*found["heard"])], "samples": len(audio), "ended": True}


def test_what_is_no_sound_stream_is_refused(page, telu):
    audio = speech(0.3)
    encoder = telu.stream_encoder(step=300)
    stream = encoder.push(audio) + encoder.finish()
    first = stream.index(b"\xa5")
    second = stream.index(b"\xa5", first + 1)
    unwritten = write_packet(0, b"\xff" * 8)  # the checksum fits, but no encoder writes this
    for data, reason in (
        (bytes(64), "not a .tlc file"),
        (stream[: second - 1] + bytes([stream[second - 1] ^ 1]) + stream[second:], "Packet 1 of the stream is damaged"),
        (stream[:first] + stream[second:], "Packet 1 of the stream is damaged or missing"),
        (stream[:first] + unwritten, "Packet 1 of the stream is damaged"),
        (telu.encode(audio, tokens=1), "Only streams of a waveform"),
    ):
        with pytest.raises(Exception, match=reason):
            page.evaluate(CUT, [list(data), []])
    with pytest.raises(Exception, match=r"A rate of 1 kbit/s leaves no bits for speech"):
        page.evaluate(WAVEFORM, [[0.0], {"kbps": 1}, []])

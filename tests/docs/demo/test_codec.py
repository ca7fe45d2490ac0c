"""The codec of the page and the one of Python write the same bytes and hear the same in them."""

import warnings
from dataclasses import replace

import constriction
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import telucodec
from telucodec.files import container
from telucodec.files.header import read_header, write_header
from tests.conftest import speech
from tools.demo_agreement import BrowserCodec

HALF_A_STEP = 0.5 / 32768  # of 16-bit samples: networks in floating point are not the same to the bit

CODED = """async ([frequencies, symbols]) => {
  const { RangeDecoder, RangeEncoder, edges } = await import("./codec/range_coder.js");
  const [begins, encoder] = [edges(frequencies), new RangeEncoder()];
  for (const symbol of symbols) encoder.symbol(symbol, begins);
  const decoder = new RangeDecoder(encoder.bytes());
  return [[...encoder.bytes()], symbols.map(() => decoder.symbol(begins))];
}"""

HEARD = """async ([samples, point]) => {
  const { data, hear } = await codec.encode(Float32Array.from(samples), point);
  return [hear(), await codec.decode(data)].map(({ audio, header, tokens, ...rest }) => ({
    ...rest, audio: [...audio], header: { ...header, model: [...header.model] }, tokens: tokens && tokens.map((own) => [...own])
  }));
}"""


@pytest.fixture(scope="module")
def shown(new_page, address):
    page = new_page()
    page.goto(address)
    return page


@pytest.fixture(scope="module")
def page(shown):
    return BrowserCodec(shown)


@pytest.fixture(scope="module")
def telu():
    return telucodec.load()


@pytest.fixture(scope="module")
def audio():
    return speech(2.1)


def damaged(data, packet):
    """The file with a wrong byte in the payload of a packet."""
    _, place = read_header(data)
    starts = [place for place in range(place, len(data)) if data[place] == 0xA5]
    broken = bytearray(data)
    broken[starts[packet] + 40] ^= 1
    return bytes(broken)


@pytest.mark.parametrize("count", [4, 12])
def test_tokens_and_their_files_are_the_same(page, telu, audio, count):
    data = telu.encode(audio, tokens=count)
    assert page.encode(audio, tokens=count) == data
    heard, tokens, damage = page.decode(data)
    assert np.array_equal(tokens, telu.read_tokens(data)) and not damage
    assert np.abs(heard - telu.decode(data)).max() < HALF_A_STEP


@pytest.mark.parametrize("most, kbps", [(0, 2), (8, 1.2)])
def test_frames_may_use_different_numbers_of_codebooks(page, telu, audio, most, kbps):
    data = telu.encode(audio, tokens=most, kbps=kbps)
    assert page.encode(audio, tokens=most, kbps=kbps) == data
    heard, tokens, _ = page.decode(data)
    assert (tokens < 0).any() and np.array_equal(tokens, telu.read_tokens(data))
    assert np.abs(heard - telu.decode(data)).max() < HALF_A_STEP


@pytest.mark.parametrize(
    "seconds, point",
    [(0.5, {"step": 640}), (0.5, {"step": 500, "perception": 0.5}), (2.1, {"step": 300, "perception": 1})],
)
def test_waveforms_are_the_same_to_the_bit_and_enhanced_ones_nearly(page, telu, seconds, point):
    audio = speech(seconds)
    data = telu.encode(audio, **point)
    assert page.encode(audio, **point) == data
    assert np.array_equal(page.decode(data, enhance=False)[0], telu.decode(data, enhance=False))
    assert np.abs(page.decode(data)[0] - telu.decode(data)).max() < HALF_A_STEP


@pytest.mark.parametrize("point", [{"snr": 20}, {"snr": 9, "perception": 1}, {"snr": 100}])
def test_an_snr_is_met_with_the_file_that_python_writes(page, telu, point):
    audio = speech(0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", telucodec.errors.OutOfReachWarning)
        data = telu.encode(audio, **point)
    assert page.encode(audio, **point) == data


def test_very_loud_coefficients_have_escape_codes(page, telu):
    audio = (2 * np.sign(np.sin(np.arange(4000) / 40)) * np.linspace(0, 1, 4000)).astype(np.float32)
    data = telu.encode(audio, step=1023)
    assert page.encode(audio, step=1023) == data
    assert np.array_equal(page.decode(data)[0], telu.decode(data))


@pytest.mark.parametrize(
    "point", [{"tokens": 8}, {"tokens": 0, "kbps": 1.2}, {"step": 300, "perception": 1}, {"snr": 12}]
)
def test_the_encoder_knows_what_is_heard_in_its_file_and_what_frames_cost(page, shown, audio, point):
    silence = np.zeros(3200, np.float32)  # its frames repeat each other's tokens
    known, read = shown.evaluate(HEARD, [np.concatenate([silence, audio]).tolist(), point])
    assert known == read and sum(read["bits"]) > 100


@pytest.mark.parametrize("settings", [{"step": 300, "perception": 1}, {"kbps": 5}, {"kbps": 12, "independent": True}])
def test_streams_are_the_same_also_where_packets_are_lost(page, telu, settings):
    encoder = telu.stream_encoder(**settings)
    data = encoder.push(speech(1)) + encoder.finish()
    decoded = page.decode(data, enhance=False)
    assert np.array_equal(decoded.audio, telu.decode(data, enhance=False)) and not decoded.damage
    place = data.index(b"\xa5", len(data) // 2)
    torn = data[:place] + data[place + 1 :]
    decoded = page.decode(torn, enhance=False)
    assert np.array_equal(decoded.audio, telu.decode(torn, lenient=True, enhance=False))
    assert "damaged or missing; the speech goes on there and fades." in decoded.damage


def test_a_damaged_packet_that_looks_like_one_far_ahead_costs_only_itself(page, telu):
    encoder = telu.stream_encoder(step=300, independent=True)
    data = encoder.push(speech(1)) + encoder.finish()
    _, start = read_header(data)
    *packets, (_, end) = container.read_packets(data, start, None)
    ahead = {5: 50_000, len(packets) - 1: 50_000}
    moved = [container.write_packet(number + ahead.get(number, 0), payload) for number, payload in packets]
    torn = data[:start] + b"".join(moved) + container.write_packet(-1, end)
    decoded = page.decode(torn, enhance=False)
    assert decoded.damage.startswith(f"2 of {len(packets)} packets are damaged or missing;")
    assert np.array_equal(decoded.audio, telu.decode(torn, lenient=True, enhance=False))
    sound = slice(10 * 240, (len(packets) - 3) * 240)
    assert np.array_equal(decoded.audio[sound], telu.decode(data)[sound])


def test_where_the_encoder_had_no_bits_the_speech_goes_on(page, telu):
    loud = np.random.default_rng(0).normal(0, 0.3, 16000).clip(-1, 1).astype(np.float32)
    encoder = telu.stream_encoder(kbps=4.2, perception=1)
    data = encoder.push(loud) + encoder.finish()
    empty = data.index(
        b"\xa5\x00"
    )  # a packet that holds nothing, after which a stream with a lost packet is whole again
    _, start = read_header(data)
    assert empty > start
    for file in (data, data[:start] + data[start + 1 :]):
        assert np.array_equal(page.decode(file, enhance=False).audio, telu.decode(file, lenient=True, enhance=False))


@pytest.mark.parametrize("settings", [{"step": 300}, {"kbps": 12, "independent": True}])
def test_pauses_in_which_nothing_is_sent_have_the_same_noise(page, telu, settings):
    audio = 0.002 * np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    audio[:6000] += speech(0.375)
    audio[-6000:] += speech(0.375, seed=1)
    encoder = telu.stream_encoder(perception=1, dtx=True, **settings)
    sent = [encoder.push(audio[start : start + 480]) for start in range(0, len(audio), 480)]
    data = b"".join([*sent, encoder.finish()])
    assert sum(not part for part in sent) > 15
    decoded = page.decode(data, enhance=False)
    assert np.array_equal(decoded.audio, telu.decode(data, enhance=False)) and not decoded.damage
    assert np.abs(page.decode(data).audio - telu.decode(data)).max() < HALF_A_STEP
    for lost in (6, next(number for number in range(20, 50) if sent[number] and not sent[number - 1])):
        torn = data.replace(sent[lost], b"")
        decoded = page.decode(torn, enhance=False)
        assert np.array_equal(decoded.audio, telu.decode(torn, lenient=True, enhance=False))
        assert lost != 6 or "damaged or missing" in decoded.damage  # of a pause it cannot be known


@pytest.mark.parametrize("point", [{"tokens": 8}, {"step": 500}, {"step": 300, "perception": 1}])
def test_a_damaged_packet_is_silent_or_concealed(page, telu, audio, point):
    data = damaged(telu.encode(audio, **point), 0)
    heard, _, damage = page.decode(data, enhance=False)
    assert damage.startswith("1 of 2 packets are damaged or missing;")
    expected = telu.decode(data, lenient=True, enhance=False)
    assert np.abs(heard - expected).max() <= (HALF_A_STEP if "tokens" in point else 0)


def test_what_cannot_be_read_is_refused(page, telu, audio):
    data = telu.encode(audio[:4000], tokens=1)
    header, place = read_header(data)
    other = write_header(replace(header, model=bytes(4))) + data[place:]
    for broken, reason in (
        (b"RIFF", "not a .tlc file"),
        (data[:3] + b"\x01" + data[4:], "version 1"),
        (data[:12], "ends early"),
        (data[:10] + b"\xff" + data[11:], "header of the file is damaged"),
        (other, "tokens model 00000000; this page has"),
    ):
        with pytest.raises(Exception, match=reason):
            page.decode(broken)


@settings(max_examples=15)
@given(st.data())
def test_the_range_coder_is_that_of_constriction(shown, data):
    size = data.draw(st.integers(2, 80))
    frequencies = np.array(data.draw(st.lists(st.integers(1, 2**17), min_size=size, max_size=size)), np.float32)
    likeliest = int(frequencies.argmax())
    symbols = data.draw(st.lists(st.sampled_from([likeliest, 0, size - 1, size // 2]), min_size=1, max_size=400))
    coder = constriction.stream.queue.RangeEncoder()
    coder.encode(np.array(symbols, np.int32), constriction.stream.model.Categorical(frequencies, perfect=False))
    written = coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")
    assert shown.evaluate(CODED, [frequencies.tolist(), symbols]) == [list(written), symbols]

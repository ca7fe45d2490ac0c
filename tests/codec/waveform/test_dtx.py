"""Streams that leave packets out in pauses."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telucodec.errors import CodecError, ContainerError
from telucodec.files import container
from telucodec.files.header import MOST_LEFT_OUT, read_header
from telucodec.waveform.bands import members

few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PACKET, HOP = 480, 240  # samples
LEFT_OUT = MOST_LEFT_OUT
SPEECH, PAUSE = 20, 40  # packets
BEGIN, END = SPEECH, SPEECH + PAUSE  # of the pause in `talk`


def background(packets, level=0.002, seed=0):
    return level * np.random.default_rng(seed).standard_normal(packets * PACKET).astype(np.float32)


@pytest.fixture(scope="module")
def talk(spoken):
    """Speech, a pause in which there is noise, and speech."""
    audio = background(2 * SPEECH + PAUSE)
    audio[: SPEECH * PACKET] += spoken(SPEECH * 0.03, seed=5)
    audio[-SPEECH * PACKET :] += spoken(SPEECH * 0.03, seed=6)
    return audio


def encoded(telu, audio, **options):
    options = {"step": 300, "perception": 1.0, "dtx": True} | options
    encoder = telu.stream_encoder(**options)
    return encoder.push(audio) + encoder.finish()


class Sent:
    """A stream as a network carries it: the header, then for each packet its bytes, or none."""

    def __init__(self, data):
        header, place = read_header(data)
        *read, (_, end) = container.read_packets(data, place, None, most_left_out=header.most_left_out)
        count = container.stream_packets(container.read_end(end), HOP, header.packet_frames)
        self.header, self.packets, self.data = data[:place], [b""] * count, data
        for number, payload in read:
            self.packets[number] = b"" if payload is None else container.write_packet(number, payload)
        self.end = container.write_packet(-1, end)

    @property
    def left_out(self):
        return [number for number, packet in enumerate(self.packets) if not packet]

    def without(self, lost):
        kept = (packet for number, packet in enumerate(self.packets) if number not in lost)
        return b"".join([self.header, *kept, self.end])


@pytest.fixture(scope="module", params=[True, False], ids=["independent", "dependent"])
def sent(request, telu, talk):
    return Sent(encoded(telu, talk, independent=request.param))


def by_clock(telu, sent, lost=(), **options):
    """What is heard by someone who asks for the samples of each packet when they are due."""
    decoder = telu.stream_decoder(**options)
    parts = [decoder.push(sent.header)]
    for number, packet in enumerate(sent.packets):
        parts.append(decoder.push(packet) if packet and number not in lost else decoder.conceal())
    parts.append(decoder.push(sent.end))
    assert decoder.ended
    return np.concatenate(parts)[: decoder.samples]


def band_levels(audio):
    """Mean level of each band in dB."""
    frames = audio[: len(audio) // (2 * HOP) * 2 * HOP].reshape(-1, 2 * HOP) * np.hanning(2 * HOP)
    energy = (np.abs(np.fft.rfft(frames)[:, :HOP]) ** 2).mean(0) @ members(HOP)
    return 10 * np.log10(energy + 1e-9)


def test_in_a_pause_little_is_sent_and_speech_is_sent_as_ever(telu, talk, sent):
    independent = read_header(sent.header)[0].key_packets == 1
    plain = Sent(encoded(telu, talk, dtx=False, independent=independent))
    assert not plain.left_out
    assert set(sent.left_out) <= set(range(BEGIN, END + 1))
    assert len(sent.left_out) > 0.75 * PAUSE
    if independent:
        assert all(packet in (b"", other) for packet, other in zip(sent.packets, plain.packets, strict=True))
    pause = slice(BEGIN + 8, END)
    assert 5 * sum(map(len, sent.packets[pause])) < sum(map(len, plain.packets[pause]))


@pytest.mark.parametrize("enhance", [False, True])
def test_the_background_goes_on_without_a_hole(telu, talk, sent, enhance):
    heard = telu.decode(sent.data, enhance=enhance)
    plain = telu.decode(encoded(telu, talk, dtx=False), enhance=enhance)
    pause = slice((BEGIN + 2) * PACKET, (END - 2) * PACKET)
    assert np.abs(band_levels(heard[pause]) - band_levels(plain[pause])).max() < 1.5
    parts = np.sqrt(np.square(heard[pause].reshape(-1, 2 * PACKET)).mean(1))
    assert np.abs(20 * np.log10(parts / np.sqrt(np.square(plain[pause]).mean()))).max() < 1.5


def test_a_stream_is_its_file_however_it_is_cut_and_whoever_asks(telu, sent):
    for enhance in (False, True):
        whole = telu.decode(sent.data, enhance=enhance)
        assert np.array_equal(telu.decode(sent.data, enhance=enhance, lenient=True), whole)
        assert np.array_equal(by_clock(telu, sent, enhance=enhance), whole)
        for lenient, size in ((False, 7), (True, 1000)):
            decoder = telu.stream_decoder(enhance=enhance, lenient=lenient)
            parts = [decoder.push(sent.data[start : start + size]) for start in range(0, len(sent.data), size)]
            assert decoder.ended and np.array_equal(np.concatenate(parts)[: decoder.samples], whole)


def test_an_encoder_gives_the_same_however_it_is_fed(telu, talk, sent):
    independent = read_header(sent.header)[0].key_packets == 1
    encoder = telu.stream_encoder(300, 1.0, dtx=True, independent=independent)
    pieces = [encoder.push(talk[start : start + PACKET]) for start in range(0, len(talk), PACKET)]
    assert b"".join([*pieces, encoder.finish()]) == sent.data
    assert not any(pieces[number + 1] for number in sent.left_out[:10])  # 15 ms after the packet's last sample


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_a_lost_packet_of_the_pause_leaves_no_hole(telu, sent, lost):
    """The last one before it, the first and second renewal, or all renewals."""
    pause = [number for number in range(BEGIN, END) if sent.packets[number]]
    renewals = [number for number in pause if number - 1 in sent.left_out]
    last_before = max(number for number in pause if number < renewals[0])
    missing = [[last_before], renewals[:1], renewals[1:2], renewals][lost]
    whole = telu.decode(sent.data, enhance=False)
    heard = telu.decode(sent.without(missing), enhance=False, lenient=True)
    assert np.array_equal(by_clock(telu, sent, missing, enhance=False, lenient=True), heard)
    pause = slice((BEGIN + 2) * PACKET, (END - 2) * PACKET)
    assert np.abs(band_levels(heard[pause]) - band_levels(whole[pause])).max() < 3
    back = slice((END + 1) * PACKET, None)
    assert np.array_equal(heard[back], whole[back])


def test_where_no_packet_of_the_pause_came_the_speech_goes_on_and_fades(telu, sent):
    first = sent.left_out[0]
    lost = range(BEGIN - 4, END - 1)
    heard = by_clock(telu, sent, lost, lenient=True, enhance=False)
    assert not heard[first * PACKET : (END - 3) * PACKET].any()
    whole = telu.decode(sent.data, enhance=False)
    assert np.array_equal(heard[(END + 3) * PACKET :], whole[(END + 3) * PACKET :])


@few
@given(data=st.data())
def test_any_losses_leave_length_and_the_speech_after_them(telu, talk, sent, data):
    lost = data.draw(st.sets(st.integers(0, END - 2), max_size=END - 2))
    whole, heard = telu.decode(sent.data, enhance=False), by_clock(telu, sent, lost, lenient=True, enhance=False)
    assert heard.shape == talk.shape and np.isfinite(heard).all()
    assert np.abs(heard).max() < 1.5 * np.abs(whole).max()  # nothing was decoded from a wrong state
    assert np.array_equal(heard[(END + 3) * PACKET :], whole[(END + 3) * PACKET :])
    if len(np.setdiff1d(np.arange(END - 1), [*lost, *sent.left_out])):
        assert np.array_equal(telu.decode(sent.without(lost), lenient=True, enhance=False), heard)


def test_a_packet_that_is_missing_from_speech_is_an_error(telu, sent):
    loudest = max(range(SPEECH), key=lambda number: len(sent.packets[number]))
    torn = sent.without([loudest + 1])
    for decode in (telu.decode, telu.stream_decoder().push):
        with pytest.raises(ContainerError, match=f"packet {loudest + 2} is missing"):
            decode(torn)
    renewals = [number for number in range(*sent.left_out[:: len(sent.left_out) - 1]) if sent.packets[number]]
    for decode in (telu.decode, telu.stream_decoder().push):
        with pytest.raises(ContainerError, match="damaged"):  # a pause longer than any
            decode(sent.without(renewals))


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.5, 2.0, 2.0041])
@pytest.mark.parametrize("level", [0.0, 0.0005])
def test_silence_and_noise_alone_have_their_length(telu, seconds, level):
    audio = background(70, level)[: round(seconds * 16_000)]
    for options in ({"independent": True}, {}, {"step": None, "kbps": 12}):
        sent = Sent(encoded(telu, audio, **options))
        heard = telu.decode(sent.data, enhance=False)
        assert heard.shape == audio.shape
        assert np.array_equal(by_clock(telu, sent, enhance=False), heard)
        assert len(sent.left_out) >= (0.75 * seconds / 0.03 if seconds >= 2 else 0)
        assert level or not heard.any()


def test_a_pause_at_either_end(telu, spoken):
    audio = background(70)
    audio[25 * PACKET : 45 * PACKET] += spoken(20 * 0.03, seed=5)
    sent = Sent(encoded(telu, audio, independent=True))
    assert {10, 20, 60, 69} <= set(sent.left_out)
    assert not {*range(28, 50)} & set(sent.left_out)
    heard = telu.decode(sent.data, enhance=False)
    assert heard.shape == audio.shape
    for pause in (slice(8 * PACKET, 24 * PACKET), slice(54 * PACKET, 69 * PACKET)):
        assert np.abs(band_levels(heard[pause]) - band_levels(audio[pause])).max() < 3
    decoder = telu.stream_decoder(lenient=True, enhance=False)
    parts = [decoder.push(sent.header + b"".join(sent.packets[:69]))]  # and then nothing comes
    parts += [decoder.conceal() for _ in range(100)]
    until = 70 * PACKET - HOP  # the last packet is half silence
    assert np.array_equal(np.concatenate(parts)[:until], heard[:until])
    assert np.abs(band_levels(np.concatenate(parts[50:])) - band_levels(audio[-10 * PACKET :])).max() < 4


def test_louder_noise_ends_the_pause_and_is_learnt(telu):
    audio = np.concatenate([background(40, 0.0008), background(40, 0.003, seed=1)])
    sent = Sent(encoded(telu, audio, independent=True))
    assert {30, 60, 70} <= set(sent.left_out) and 41 not in sent.left_out
    heard, end = telu.decode(sent.data, enhance=False), slice(60 * PACKET, 79 * PACKET)
    assert np.abs(band_levels(heard[end]) - band_levels(audio[end])).max() < 4


def test_a_limit_to_the_rate_holds_and_the_stream_starts_afresh(telu, talk):
    for independent in (False, True):
        sent = Sent(encoded(telu, 0.2 * talk, step=None, kbps=12, independent=independent))
        assert len(sent.left_out) > 0.5 * PAUSE
        assert np.array_equal(by_clock(telu, sent, enhance=False), telu.decode(sent.data, enhance=False))


def test_it_needs_perception(telu):
    with pytest.raises(CodecError, match="dtx needs perception"):
        telu.stream_encoder(300, dtx=True)

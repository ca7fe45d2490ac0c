"""Streams over networks that lose packets."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telucodec.errors import ContainerError
from telucodec.files import container
from telucodec.files.header import read_header

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PACKET = 480  # samples


class Sent:
    """A stream as a network carries it: the header, then each packet by itself."""

    def __init__(self, telu, audio, **target):
        encoder = telu.stream_encoder(**target)
        data = encoder.push(audio) + encoder.finish()
        place = read_header(data)[1]
        self.header, self.packets, self.audio = data[:place], [], audio
        for number, payload in container.read_packets(data, place, None):
            packet = container.write_packet(number, payload)
            self.packets.append(packet)
        *self.packets, self.end = self.packets

    def without(self, lost):
        kept = (packet for number, packet in enumerate(self.packets) if number not in lost)
        return b"".join([self.header, *kept, self.end])


@pytest.fixture(scope="module")
def speech(spoken):
    return spoken(0.62, seed=5)


@pytest.fixture(scope="module")
def independent(telu, speech):
    return Sent(telu, speech, step=300, perception=1.0, independent=True)


@pytest.fixture(scope="module")
def sound(telu, independent):
    return telu.decode(independent.without(()), enhance=False)


def received(telu, sent, lost, waits, **options):
    """What comes out when packets are lost; `waits`: each is concealed when it is due, else when the next one comes."""
    decoder = telu.stream_decoder(lenient=True, **options)
    parts = [decoder.push(sent.header)]
    for number, packet in enumerate(sent.packets):
        if number not in lost:
            parts.append(decoder.push(packet))
        elif not waits:
            parts.append(decoder.conceal())
    parts.append(decoder.push(sent.end))
    assert decoder.ended
    return np.concatenate(parts)[: decoder.samples]


def test_without_loss_a_lenient_decoder_gives_the_same(telu, independent):
    for enhance in (False, True):
        whole = telu.decode(independent.without(()), enhance=enhance)
        assert np.array_equal(received(telu, independent, (), False, enhance=enhance), whole)
        assert np.array_equal(telu.decode(independent.without(()), enhance=enhance, lenient=True), whole)


def test_a_packet_lost_anywhere_costs_itself_and_its_joints(telu, independent, sound):
    last = len(independent.packets) - 1
    for lost in [*([number] for number in range(last + 1)), [4, 5], [0, 1], [last - 1, last], range(last + 1)]:
        output = telu.decode(independent.without(lost), lenient=True, enhance=False)
        assert output.shape == sound.shape
        start, end = (lost[0] * PACKET - 240, (lost[-1] + 1) * PACKET)
        assert np.array_equal(output[: max(start, 0)], sound[: max(start, 0)])
        assert np.array_equal(output[end:], sound[end:])
        waits = lost[0] % 2 == 0
        assert np.array_equal(received(telu, independent, lost, waits, enhance=False), output)
    assert not output.any()  # all were lost


def test_what_is_concealed_is_speech(telu, independent, sound):
    loudest = int(np.square(sound[: 20 * PACKET].reshape(-1, PACKET)).sum(1).argmax())
    output = telu.decode(independent.without([loudest]), lenient=True, enhance=False)
    there = slice(loudest * PACKET, (loudest + 1) * PACKET)
    assert 0.1 < np.square(output[there]).sum() / np.square(sound[there]).sum() < 3


@few
@given(data=st.data())
def test_any_loss_and_any_damage_leave_length_and_order(telu, independent, sound, data):
    """As a stream of bytes, cut anywhere, with packets that are damaged, lost or late."""
    decoder = telu.stream_decoder(lenient=True, enhance=False)
    parts = [decoder.push(independent.header)]
    for packet in independent.packets[:12]:
        fate = data.draw(st.sampled_from(["sound", "sound", "lost", "concealed", "late", "damaged", "cut"]))
        if fate == "concealed":
            parts.append(decoder.conceal())
        elif fate == "late":
            parts += [decoder.conceal(), decoder.push(packet)]
        elif fate == "damaged":
            place = data.draw(st.integers(0, len(packet) - 1))
            changed = packet[place] ^ data.draw(st.integers(1, 255))
            parts.append(decoder.push(packet[:place] + bytes([changed]) + packet[place + 1 :]))
        elif fate == "cut":
            parts += [decoder.push(packet[: data.draw(st.integers(1, len(packet) - 1))]), decoder.conceal()]
        elif fate == "sound":
            parts += [decoder.push(piece) for piece in (packet[:3], packet[3:])]
    parts += [decoder.conceal(max(0, 12 - (sum(map(len, parts)) + 240) // PACKET))]
    parts += [decoder.push(packet) for packet in [*independent.packets[12:], independent.end]]
    output = np.concatenate(parts)[: decoder.samples]
    assert decoder.ended and output.shape == sound.shape and np.isfinite(output).all()
    assert np.array_equal(output[13 * PACKET :], sound[13 * PACKET :])


def test_packets_that_go_on_from_a_lost_one_are_lost_until_the_next_key(telu, spoken):
    sent = Sent(telu, spoken(2.4, seed=6), step=300, perception=1.0)
    whole = telu.decode(sent.without(()), enhance=False)
    output = received(telu, sent, [40], waits=False, enhance=False)
    assert np.array_equal(output[: 40 * PACKET - 240], whole[: 40 * PACKET - 240])
    assert not output[45 * PACKET : 66 * PACKET - 240].any()
    assert np.array_equal(output[66 * PACKET :], whole[66 * PACKET :])


def test_without_perception_a_loss_is_concealed_too(telu, speech):
    sent = Sent(telu, speech, step=450, independent=True)
    whole = telu.decode(sent.without(()))
    first = int(np.square(whole[: 40 * 240].reshape(-1, 240)).sum(1).argmax()) + 1
    output = telu.decode(sent.without([first, first + 1]), lenient=True)
    start, end = (first - 1) * 240, (first + 2) * 240
    assert np.array_equal(output[:start], whole[:start]) and np.array_equal(output[end:], whole[end:])
    assert 0.1 < np.square(output[start:end]).sum() / np.square(whole[start:end]).sum() < 3


def test_a_file_of_known_length_is_concealed_to_its_end(telu, speech):
    data = telu.encode(speech, step=300)
    start = read_header(data)[1]
    decoder = telu.stream_decoder(lenient=True)
    assert len(decoder.conceal()) == 0  # there is no header yet
    assert len(decoder.push(data[:start])) == 0
    assert decoder.conceal(5).shape == speech.shape and decoder.ended
    assert len(decoder.conceal()) == 0


def test_after_a_packet_that_the_limit_left_empty_a_stream_starts_afresh(telu, speech):
    noise = np.random.default_rng(0).uniform(-1, 1, 4 * PACKET)
    audio = np.concatenate([speech[: 10 * PACKET], noise, speech[: 10 * PACKET]]).astype(np.float32)
    sent = Sent(telu, audio, kbps=16)
    empty = [packet == container.write_packet(number, b"") for number, packet in enumerate(sent.packets)]
    again = empty.index(False, empty.index(True))
    assert again > 6
    whole, output = telu.decode(sent.without(())), telu.decode(sent.without([5]), lenient=True)
    inside = slice(again * PACKET, again * PACKET + 240)  # where nothing but this packet is heard
    assert np.array_equal(output[inside], whole[inside]) and whole[inside].any()
    assert not np.array_equal(output[6 * PACKET : 7 * PACKET], whole[6 * PACKET : 7 * PACKET])


def test_a_strict_decoder_conceals_only_when_asked(telu, independent):
    decoder = telu.stream_decoder()
    decoder.push(independent.header + independent.packets[0])
    assert len(decoder.conceal()) == PACKET
    assert len(decoder.push(independent.packets[2])) == PACKET
    with pytest.raises(ContainerError, match="packet 4 of the stream"):
        decoder.push(independent.packets[5])


def test_an_end_mark_that_names_more_than_was_sent_is_bounded(telu, independent):
    decoder = telu.stream_decoder(lenient=True)
    decoder.push(independent.header + independent.packets[0])
    assert len(decoder.push(container.write_end(1 << 39))) <= 11 * 16_000 and decoder.ended

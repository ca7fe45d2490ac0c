import numpy as np
import pytest

from telucodec.errors import ContainerError
from telucodec.files.header import read_header


@pytest.fixture(scope="module")
def audio(spoken):
    return spoken(2.6, seed=5)


def stream(telu, audio, cuts, perception=0.0):
    encoder = telu.stream_encoder(300, perception)
    parts = [encoder.push(part) for part in np.split(audio, cuts)]
    return parts, b"".join([*parts, encoder.finish()])


@pytest.mark.parametrize("perception", [0.0, 1.0])
def test_stream_is_the_same_however_it_is_cut_and_decodes_like_the_file(telu, audio, perception):
    audio = audio[:16_500]
    _, whole = stream(telu, audio, [], perception)
    _, cut = stream(telu, audio, [1, 2, 250, 4000, 4001], perception)
    assert whole == cut
    output = telu.decode(whole)
    assert output.shape == audio.shape
    for size in (1, 1000):
        decoder = telu.stream_decoder()
        pieces = [decoder.push(whole[start : start + size]) for start in range(0, len(whole), size)]
        assert decoder.ended
        np.testing.assert_array_equal(np.concatenate(pieces)[: decoder.samples], output)


@pytest.mark.parametrize(("perception", "latency"), [(0.0, 2), (1.0, 3)])
def test_stream_gives_every_frame_after_its_latency(telu, audio, perception, latency):
    """The algorithmic latency is 2 * 240 samples, 30 ms; frames that share levels wait for one another."""
    hop, decoder = 240, telu.stream_decoder()
    encoder, output = telu.stream_encoder(300, perception), 0
    for hops, start in enumerate(range(0, 20 * hop, hop), 1):
        output += len(decoder.push(encoder.push(audio[start : start + hop])))
        assert output >= (hops - latency + 1) * hop


def test_file_of_known_length_can_be_decoded_as_it_comes(telu, audio):
    file, decoder = telu.encode(audio, step=384), telu.stream_decoder()
    pieces = [decoder.push(file[start : start + 500]) for start in range(0, len(file), 500)]
    assert decoder.ended
    np.testing.assert_array_equal(np.concatenate(pieces), telu.decode(file))


def test_damaged_packet_of_a_stream_costs_its_key_period_at_most(telu, audio):
    audio = audio[:40_000]
    _, whole = stream(telu, audio, [])
    sound = telu.decode(whole)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0x10
    with pytest.raises(ContainerError):
        telu.decode(bytes(damaged))
    output = telu.decode(bytes(damaged), lenient=True)
    assert len(output) == len(sound)
    wrong = np.flatnonzero(output != sound)
    assert len(wrong) > 0 and wrong[-1] - wrong[0] <= 16_000 + 2 * 240


def test_a_damaged_length_does_not_keep_a_stream_waiting(telu, audio):
    _, whole = stream(telu, audio[:40_000], [])
    _, start = read_header(whole)
    damaged = whole[: start + 1] + b"\xff\xff\x7f" + whole[start + 2 :]  # the first packet claims 2 MB
    with pytest.raises(ContainerError, match="packet 1"):
        telu.stream_decoder().push(damaged[: start + 100])

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telucodec.errors import CodecError

PACKET = 480
SECOND = 34  # packets that can leave within a second: one every 30 ms, at both ends


def noise(count, level, seed=0):
    return level * np.random.default_rng(seed).uniform(-1, 1, count)


def tone(count, level, pitch=200):
    return level * np.sign(np.sin(np.arange(count) * pitch * 2 * np.pi / 16_000))


SIGNALS = {"silence": lambda count, level: np.zeros(count), "noise": noise, "square": tone}
PIECES = st.lists(
    st.tuples(st.sampled_from(sorted(SIGNALS)), st.integers(1, 8000), st.sampled_from([0.001, 0.1, 1.0])),
    min_size=1,
    max_size=4,
)


def sizes(encoder, audio):
    """Bytes that leave in each 30 ms, and all of them."""
    parts = [encoder.push(audio[start : start + PACKET]) for start in range(0, len(audio), PACKET)]
    parts.append(encoder.finish())
    return [len(part) for part in parts], b"".join(parts)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES, st.sampled_from([2.5, 6, 12, 48]), st.sampled_from([0.0, 0.5, 1.0]), st.booleans(), st.booleans())
def test_no_second_takes_more_than_the_limit(telu, pieces, kbps, perception, independent, dtx):
    audio = np.concatenate([SIGNALS[name](count, level) for name, count, level in pieces]).astype(np.float32)
    dtx = dtx and perception > 0
    encoder = telu.stream_encoder(kbps=kbps, perception=perception, independent=independent, dtx=dtx)
    sent, data = sizes(encoder, audio)
    # The last packets and the end mark, which leave together, count as one: a second is never over.
    assert max(8 * sum(sent[start : start + SECOND]) for start in range(len(sent))) <= 1000 * kbps
    assert telu.decode(data).shape == audio.shape
    decoder = telu.stream_decoder(enhance=False)
    assert len(decoder.push(data)) >= len(audio) and decoder.ended


@pytest.mark.parametrize("independent", [False, True])
def test_such_a_stream_is_the_same_however_it_is_cut(telu, spoken, independent):
    audio = spoken(1.5, seed=2)
    encoders = [telu.stream_encoder(kbps=16, perception=1.0, independent=independent) for _ in range(2)]
    _, whole = sizes(encoders[0], audio)
    assert encoders[1].push(audio) + encoders[1].finish() == whole
    decoder = telu.stream_decoder(enhance=False)
    output = np.concatenate([decoder.push(whole[start : start + 7]) for start in range(0, len(whole), 7)])
    assert np.array_equal(output[: decoder.samples], telu.decode(whole, enhance=False))


def test_every_frame_comes_after_45_ms(telu, spoken):
    audio, hop, output = spoken(0.4, seed=3), 240, 0
    encoder, decoder = telu.stream_encoder(kbps=20), telu.stream_decoder()
    for hops, start in enumerate(range(0, 20 * hop, hop), 1):
        output += len(decoder.push(encoder.push(audio[start : start + hop])))
        assert output >= (hops - 2) * hop


def test_the_limit_is_made_use_of_and_steps_differ(telu, spoken):
    """Of tiny models: speech takes more than there is, so every second is nearly full."""
    encoder = telu.stream_encoder(kbps=16, perception=1.0)
    sent, _ = sizes(encoder, spoken(4, seed=2))
    seconds = [8 * sum(sent[start : start + SECOND]) for start in range(len(sent) - SECOND)]
    assert max(seconds) > 0.8 * 16_000
    coarse, fine = (telu.stream_encoder(kbps=kbps).header.settings[0] for kbps in (8, 16))
    assert coarse < fine


def test_more_kbps_give_more_snr(telu, spoken):
    audio = spoken(2.5, seed=4)
    errors = []
    for kbps in (12, 24, 48):
        encoder = telu.stream_encoder(kbps=kbps)
        errors.append(np.square(telu.decode(encoder.push(audio) + encoder.finish()) - audio).sum())
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]


def test_targets_that_are_none(telu):
    with pytest.raises(CodecError, match=r"kbps of a stream must be at least 1\.8"):
        telu.stream_encoder(kbps=1)
    assert telu.stream_encoder(kbps=1.9)
    for target in ({}, {"step": 300, "kbps": 6}, {"kbps": -1}, {"kbps": 6, "perception": 2}):
        with pytest.raises(CodecError):
            telu.stream_encoder(**target)

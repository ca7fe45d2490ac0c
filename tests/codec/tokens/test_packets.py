import numpy as np
import pytest

from telucodec.errors import CodecError
from telucodec.tokens.packets import Choices, largest


@pytest.mark.parametrize("kbps", [0.4, 0.6, 0.8])
def test_a_file_of_shared_codebooks_stays_below_its_rate_and_uses_it(telu, spoken, kbps):
    audio = spoken(6, seed=3)
    data = telu.encode(audio, tokens=0, kbps=kbps)
    assert 0.95 * kbps < 8 * len(data) / 6000 <= kbps
    assert telu.decode(data).shape == audio.shape


def spectral_distance(audio, decoded):
    """Of the levels of bins, in nepers."""
    spectra = [
        np.abs(np.fft.rfft(x[: len(x) // 640 * 640].reshape(-1, 640) * np.hanning(640))) for x in (audio, decoded)
    ]
    return np.abs(np.subtract(*(np.log(spectrum + 1e-2) for spectrum in spectra))).mean()


def test_more_rate_is_a_nearer_spectrum_and_a_pause_takes_little_from_the_speech(telu, spoken):
    audio = spoken(4, seed=3)
    distances = [
        spectral_distance(audio, telu.decode(telu.encode(audio, tokens=0, kbps=kbps))) for kbps in (0.25, 0.5, 0.8)
    ]
    assert distances[0] > distances[1] > distances[2]
    apart = np.concatenate([audio, np.zeros(4 * 16000, np.float32)])
    alone, longer = (telu.encode(found, tokens=0, kbps=0.6 * 4 / (len(found) / 16000)) for found in (audio, apart))
    decoded = telu.decode(longer)[: len(audio)]
    assert spectral_distance(audio, decoded) < 1.1 * spectral_distance(audio, telu.decode(alone))


def test_a_limit_on_codebooks_holds_for_every_frame(telu, spoken):
    audio = spoken(3, seed=3)
    one, four = (telu.encode(audio, tokens=count, kbps=100.0) for count in (1, 4))
    assert len(one) < len(four)
    with pytest.raises(ValueError, match="1 to 4"):
        telu.encode(audio, tokens=5, kbps=3.0)


def test_a_rate_that_the_header_alone_exceeds_is_refused_by_name(telu, spoken):
    with pytest.raises(CodecError, match=r"0\.01 kbps is out of reach"):
        telu.encode(spoken(3, seed=3), tokens=0, kbps=0.01, strict=True)


def test_choices_use_the_codes_of_so_many_levels():
    choices = Choices(2, np.dtype(np.uint8))
    choices.append(
        [np.array([[1], [2], [3]]), np.array([[4, 5], [6, 7], [8, 9]])],
        np.array([[9.0, 1.0, 0.5], [9.0, 8.9, 8.8], [9.0, 3.0, 0.1]], np.float32),
    )
    assert choices.codes(choices.depths(1.0), 0, 3).tolist() == [[1, -1, 8], [-1, -1, 9]]
    assert choices.codes(choices.depths(1.0), 2, 3).tolist() == [[8], [9]]
    assert choices.codes(choices.depths(0.0), 0, 3).tolist() == [[-1] * 3] * 2


@pytest.mark.parametrize("allowed", [11, 50, 137, 200, 500])
def test_largest_comes_near_the_bytes_allowed(allowed):
    found = largest(lambda mean: bytes(10 + round(190 * (mean / 8) ** 2)), 8, allowed)
    assert 0.9 * min(allowed, 200) <= len(found) <= allowed


def test_digital_silence_costs_almost_nothing(telu):
    silence = np.zeros(10 * 16000, np.float32)
    assert 8 * len(telu.encode(silence, tokens=0)) / 10 < 120  # bit/s, checksums of the packets and all


def test_a_rate_that_no_file_needs_changes_nothing(telu):
    phase = 2 * np.pi * 120 * np.arange(48_000) / 16_000
    vowel = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20))  # no frame of it has less to say
    audio = (0.2 * vowel).astype(np.float32)
    assert telu.encode(audio, tokens=2, kbps=100) == telu.encode(audio, tokens=2)


def test_bits_of_tokens_are_those_of_the_files_packets(telu, spoken):
    audio = spoken(7, seed=1)
    counted = telu.token_bits(telu.tokenize(audio)).sum() / 8
    packets = (
        4  # of two seconds: each a head, a payload that ends with some part of a word, and flags of frames that repeat
    )
    assert counted < len(telu.encode(audio, tokens=4)) < counted + 24 + 30 * packets

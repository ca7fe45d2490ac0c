import pytest
import torch

from telucodec.networks.mdct import MDCT
from telucodec.networks.tokens.energies import TAPS, EnergyQuantizer
from telucodec.networks.tokens.kmeans import kmeans, nearest
from telucodec.networks.tokens.spectrum import Spectrum

SIZE = 64


@pytest.fixture(scope="module")
def energies(spoken):
    """Those of 12 recordings [12, frames, bands], with a mean of 0."""
    audio = torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(12)])
    coefficients = MDCT(320)(audio)
    values = Spectrum(320, 16000, 1.0, 1600.0).energies(coefficients / coefficients.square().mean().sqrt())
    return values - values.mean((0, 1))


@pytest.fixture(scope="module")
def quantizer(energies):
    torch.manual_seed(0)
    quantizer = EnergyQuantizer(SIZE, energies.shape[2])
    quantizer.fit(energies, torch.full((energies.shape[2],), float(energies.min())))
    return quantizer


def decoded(quantizer, codes):
    return quantizer.decode(quantizer.codebook[codes], quantizer.start(len(codes)))[0]


def test_the_decoder_finds_what_the_encoder_aimed_at(quantizer, energies):
    targets, codes, _ = quantizer.encode(energies, quantizer.start(len(energies)))
    missed = targets - quantizer.codebook[codes]
    assert torch.allclose(energies - decoded(quantizer, codes), missed, atol=1e-5)


def test_prediction_is_worth_bits():
    """Of energies that follow the ones before, prediction lowers the error at equal bits."""
    generator = torch.Generator().manual_seed(0)
    steps, frames = torch.randn(20, 400, 4, generator=generator), [torch.zeros(20, 4)]
    for step in steps.unbind(1):
        frames.append(0.95 * frames[-1] + step)
    followers = torch.stack(frames[1:], dim=1)
    torch.manual_seed(0)
    quantizer = EnergyQuantizer(SIZE, 4)
    quantizer.fit(followers, torch.zeros(4))
    codebook = kmeans(followers.flatten(0, 1), SIZE, 20)
    memoryless = followers.flatten(0, 1) - codebook[nearest(followers.flatten(0, 1), codebook)]
    predicted = followers - decoded(quantizer, quantizer.encode(followers, quantizer.start(20))[1])
    assert predicted.square().mean() < 0.8 * memoryless.square().mean()


def test_frame_by_frame_is_the_same(quantizer, energies):
    _, whole, _ = quantizer.encode(energies, quantizer.start(12))
    past, codes = quantizer.start(12), []
    for frame in energies.split(3, dim=1):
        _, part, past = quantizer.encode(frame, past)
        codes.append(part)
    assert torch.equal(torch.cat(codes, dim=1), whole)
    past, pieces = quantizer.start(12), []
    for words in quantizer.codebook[whole].split(3, dim=1):
        part, past = quantizer.decode(words, past)
        pieces.append(part)
    assert torch.allclose(torch.cat(pieces, dim=1), decoded(quantizer, whole), atol=1e-6)


def test_a_stream_that_starts_midway_is_right_after_the_taps(quantizer, energies):
    _, codes, _ = quantizer.encode(energies, quantizer.start(12))
    late, whole = decoded(quantizer, codes[:, 20:]), decoded(quantizer, codes)[:, 20:]
    assert not torch.allclose(late[:, 0], whole[:, 0], atol=0.1)
    assert torch.allclose(late[:, TAPS:], whole[:, TAPS:], atol=1e-5)


def test_fewer_frames_than_codewords_are_refused():
    with pytest.raises(ValueError, match="64 codewords"):
        EnergyQuantizer(SIZE, 3).fit(torch.randn(1, 40, 3), torch.zeros(3))


def test_silence_settles_on_one_code(quantizer, energies):
    silence = torch.full((1, 60, energies.shape[2]), float(energies.min()))
    sound = torch.cat([energies[:1, 40:80], silence], dim=1)
    _, codes, _ = quantizer.encode(sound, quantizer.start(1))
    assert len(set(codes[0, -40:].tolist())) == 1
    assert torch.allclose(decoded(quantizer, codes)[0, -1], silence[0, -1], atol=1e-4)

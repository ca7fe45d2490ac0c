import numpy as np
import pytest
import torch

from telucodec.networks.tokens.model import TokenCodec
from telucodec.tokens.engine import TokenEngine
from tests.codec.configurations import quantizer_config, token_config
from tests.codec.tokens.conftest import runtime

HOP, LEVELS = 320, 6


def trained(**changes):
    """A codec whose networks matter, as after training; at the start they return zeros."""
    torch.manual_seed(0)
    quantizer = quantizer_config(num_codebooks=LEVELS, codebook_size=64)
    sizes = dict(latent_dim=24, channels=32, encoder_layers=2, decoder_layers=3, kernel=5)
    codec = TokenCodec(token_config(**{**sizes, **changes}, quantizer=quantizer)).eval()
    with torch.no_grad():
        for weight in codec.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return codec


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"output_activation": "tanh", "compand": 0.5},
        {"encoder_layers": 0, "kernel": 2, "compand": 0.7},
        {"coding": "vocoder", "latent_dim": 64, "encoder_layers": 0},
    ],
)
def codec(request, spoken, tmp_path_factory):
    """A network, and its engine."""
    network = trained(**request.param)
    network.fit(torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(3)]))
    network, folder = runtime(network, tmp_path_factory.mktemp("tokens"))
    return network, TokenEngine(folder)


@pytest.fixture(scope="module")
def audio(spoken):
    return spoken(3, seed=7)[: 145 * HOP]


def encoded(engine, audio, levels=LEVELS):
    """Codes [frames, levels] by ONNX Runtime."""
    return engine.encoder(levels).push(np.concatenate([audio, np.zeros(HOP, np.float32)]))[0][-1]


@pytest.mark.parametrize("levels", [1, 4, 5, 6])
def test_codes_are_those_of_pytorch(codec, audio, levels):
    network, engine = codec
    expected = network.encode(torch.from_numpy(audio)[None], levels)[0].numpy().T
    codes = encoded(engine, audio, levels)
    assert codes.shape == expected.shape
    assert (codes != expected).any(1).mean() < 0.01  # rounding may tip a code; here a few frames in a thousand


@pytest.mark.parametrize("levels", [1, 4, 5, 6])
def test_audio_is_that_of_pytorch(codec, audio, levels):
    network, engine = codec
    codes = encoded(engine, audio, levels)
    output = engine.decoder().push(codes)[HOP:]
    expected = network.decode(torch.from_numpy(codes.T)[None], len(audio))[0].numpy()
    assert np.abs(output - expected).max() < 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_frame_by_frame_gives_the_codes_of_the_whole(codec, audio, frames):
    _, engine = codec
    codes, encoder = encoded(engine, audio), engine.encoder(LEVELS)
    padded = np.concatenate([audio, np.zeros(HOP, np.float32)])
    pieces = [
        encoder.push(padded[start : start + frames * HOP])[0][-1] for start in range(0, len(padded), frames * HOP)
    ]
    assert np.array_equal(np.concatenate(pieces), codes)


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_frame_by_frame_gives_the_audio_of_the_whole(codec, audio, frames):
    _, engine = codec
    codes = encoded(engine, audio)
    whole, decoder = engine.decoder().push(codes), engine.decoder()
    pieces = [decoder.push(codes[start : start + frames]) for start in range(0, len(codes), frames)]
    assert np.abs(np.concatenate(pieces) - whole).max() < 1e-5


def test_errors_are_those_of_the_codes(codec, audio):
    network, engine = codec
    choices, errors = engine.encoder(LEVELS).push(np.concatenate([audio, np.zeros(HOP, np.float32)]))
    with torch.no_grad():
        analysis = network.analyse(torch.from_numpy(audio)[None])
    for count, codes in enumerate(choices, 1):
        assert np.array_equal(codes, encoded(engine, audio, count))
        expected = network.errors(analysis, torch.from_numpy(codes.T)[None])[0, :, [0, -1]].numpy()
        near = np.isclose(errors[:, [0, count]], expected, rtol=1e-2, atol=1e-3)
        assert near.mean() > 0.99  # but where rounding tipped a code


def test_levels_that_a_frame_does_not_use_add_nothing(codec, audio):
    network, engine = codec
    codes = encoded(engine, audio)
    codes[::2, 2:] = -1
    codes[::3] = -1
    output = engine.decoder().push(codes)[HOP:]
    expected = network.decode(torch.from_numpy(codes.T)[None], len(audio))[0].numpy()
    assert np.abs(output - expected).max() < 1e-5 * max(1, np.abs(expected).max())

import numpy as np
import pytest
import torch

from codec.tokens.engine import TokenEngine
from codec.tokens.model import TokenCodec, TokenConfig
from codec.tokens.quantizer import QuantizerConfig

HOP, LEVELS = 160, 4


def trained(**changes):
    """A codec whose networks matter, as after training; at the start they return zeros."""
    torch.manual_seed(0)
    quantizer = QuantizerConfig(levels=LEVELS, size=64)
    sizes = dict(hop=HOP, latent=24, channels=32, encoder_layers=2, decoder_layers=3, kernel=5)
    codec = TokenCodec(TokenConfig(**{**sizes, **changes}, quantizer=quantizer)).eval()
    with torch.no_grad():
        for weight in codec.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return codec


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"output_activation": "tanh", "compand": 0.5},
        {"encoder_layers": 0, "kernel": 2, "noise_from": 1000, "compand": 0.7},
    ],
)
def codec(request, spoken):
    codec = trained(**request.param)
    codec.fit(torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(3)]))
    codec.gain.fill_(0.9)
    return codec


@pytest.fixture(scope="module")
def audio(spoken):
    return spoken(3, seed=7)[: 290 * HOP]


def encoded(codec, audio, levels=LEVELS):
    """Codes [frames, levels] by ONNX Runtime."""
    return TokenEngine(codec).encoder(levels).push(np.concatenate([audio, np.zeros(HOP, np.float32)]))[0]


@pytest.mark.parametrize("levels", [1, 3, 4])
def test_codes_are_those_of_pytorch(codec, audio, levels):
    expected = codec.encode(torch.from_numpy(audio)[None], levels)[0].numpy().T
    codes = encoded(codec, audio, levels)
    assert codes.shape == expected.shape
    assert (codes != expected).any(1).mean() < 0.01  # rounding may tip a code; here a few frames in a thousand


@pytest.mark.parametrize("levels", [1, 3, 4])
def test_audio_is_that_of_pytorch(codec, audio, levels):
    codes = encoded(codec, audio, levels)
    output = TokenEngine(codec).decoder().push(codes)[0][HOP:]
    expected = codec.decode(torch.from_numpy(codes.T)[None], len(audio))[0].numpy()
    assert np.abs(output - expected).max() < 1e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_frame_by_frame_gives_the_codes_of_the_whole(codec, audio, frames):
    codes, walk = encoded(codec, audio), TokenEngine(codec).encoder(LEVELS)
    padded = np.concatenate([audio, np.zeros(HOP, np.float32)])
    pieces = [walk.push(padded[start : start + frames * HOP])[0] for start in range(0, len(padded), frames * HOP)]
    assert np.array_equal(np.concatenate(pieces), codes)


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_frame_by_frame_gives_the_audio_of_the_whole(codec, audio, frames):
    codes, engine = encoded(codec, audio), TokenEngine(codec)
    whole, walk = engine.decoder().push(codes)[0], engine.decoder()
    pieces = [walk.push(codes[start : start + frames])[0] for start in range(0, len(codes), frames)]
    assert np.abs(np.concatenate(pieces) - whole).max() < 1e-5


def test_errors_are_those_of_the_codes(codec, audio):
    errors, *choices = TokenEngine(codec).chooser(LEVELS).push(np.concatenate([audio, np.zeros(HOP, np.float32)]))
    with torch.no_grad():
        latents = codec.latents(torch.from_numpy(audio)[None])
    for count, codes in enumerate(choices, 1):
        assert np.array_equal(codes, encoded(codec, audio, count))
        expected = codec.quantizer.errors(latents, torch.from_numpy(codes.T)[None])[0, :, [0, -1]].numpy()
        near = np.isclose(errors[:, [0, count]], expected, rtol=1e-2, atol=1e-3)
        assert near.mean() > 0.99  # but where rounding tipped a code


def test_levels_that_a_frame_does_not_use_add_nothing(codec, audio):
    codes = encoded(codec, audio)
    codes[::2, 2:] = -1
    codes[::3] = -1
    output = TokenEngine(codec).decoder().push(codes)[0][HOP:]
    expected = codec.decode(torch.from_numpy(codes.T)[None], len(audio))[0].numpy()
    assert np.abs(output - expected).max() < 1e-5 * max(1, np.abs(expected).max())

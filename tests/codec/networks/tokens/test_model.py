from dataclasses import replace

import pytest
import torch

from telucodec.networks.tokens.model import TokenCodec
from tests.codec.configurations import quantizer_config, token_config

SMALL = token_config(
    hop=160,
    latent_dim=24,
    channels=32,
    encoder_layers=1,
    decoder_layers=2,
    quantizer=quantizer_config(num_codebooks=4, codebook_size=64),
)


@pytest.fixture(scope="module")
def audio(spoken):
    return torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(6)])


@pytest.fixture
def codec(audio):
    torch.manual_seed(0)
    codec = TokenCodec(SMALL)
    codec.fit(audio)
    return codec.eval()


def snr(audio, output):
    return float(10 * torch.log10(audio.square().sum() / (audio - output).detach().square().sum()))


def test_before_training_the_snr_is_positive_and_grows_with_the_rate(codec, audio):
    codes = codec.encode(audio)
    assert codes.shape == (6, 4, codec.mdct.frames(audio.shape[1]))
    ratios = [
        snr(audio, codec.decode(codec.encode(audio, num_codebooks), audio.shape[1])) for num_codebooks in (1, 2, 4)
    ]
    assert 0 < ratios[0] < ratios[1] < ratios[2]


def test_a_random_start_is_worse_than_pca(codec, audio):
    torch.manual_seed(0)
    random = TokenCodec(replace(SMALL, init="random"))
    random.fit(audio)
    assert snr(audio, random.eval()(audio).audio) < snr(audio, codec(audio).audio) - 3


def test_set_gain_corrects_an_output_that_is_too_quiet(codec, audio):
    before = snr(audio, codec(audio).audio)
    codec.gain.fill_(0.5)
    codec.set_gain(audio)
    assert codec.gain == pytest.approx(1.0, abs=0.1) and snr(audio, codec(audio).audio) >= before - 1e-3


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 4000])
def test_output_is_as_long_as_the_input(codec, audio, samples):
    part = audio[:, :samples]
    assert codec(part).audio.shape == part.shape
    assert codec.decode(codec.encode(part), samples).shape == part.shape


def test_the_codec_is_causal_except_for_one_hop(codec, audio):
    torch.manual_seed(1)
    for weight in codec.parameters():  # the stacks return zeros at the start
        weight.data += 0.02 * torch.randn_like(weight)
    changed = audio.clone()
    changed[:, 8000:] = 0
    before, after = codec.encode(audio), codec.encode(changed)
    frames = 8000 // 160  # frames up to 49 end at sample 8000 or before
    assert torch.equal(before[:, :, :frames], after[:, :, :frames])
    samples = audio.shape[1]
    ahead = before.clone()
    ahead[:, :, frames:] = 0
    end = 160 * (frames - 1)
    assert torch.allclose(codec.decode(before, samples)[:, :end], codec.decode(ahead, samples)[:, :end], atol=1e-6)


def test_tanh_bounds_the_output(audio):
    torch.manual_seed(0)
    codec = TokenCodec(replace(SMALL, output_activation="tanh"))
    codec.fit(audio)
    assert codec(audio * 50).audio.abs().max() <= 1


def test_nominal_rate(codec):
    assert codec.nominal_kbps(4) == pytest.approx(100 * 4 * 6 / 1000)
    assert TokenCodec(token_config(channels=8)).nominal_kbps(8) == pytest.approx(4.0)


def test_a_saved_codec_codes_as_before(codec, audio, tmp_path):
    codec.save(tmp_path)
    loaded = TokenCodec.load(tmp_path)
    assert loaded.config == codec.config
    codes = codec.encode(audio)
    assert (loaded.encode(audio) == codes).float().mean() > 0.98  # rounded to float16
    assert (loaded.decode(codes, 1000) - codec.decode(codes, 1000)).abs().max() < 1e-3
    loaded.save(tmp_path)
    again = TokenCodec.load(tmp_path)
    assert torch.equal(again.encode(audio), loaded.encode(audio))
    assert torch.equal(again.decode(codes, 1000), loaded.decode(codes, 1000))


def test_gradients_reach_every_weight(codec, audio):
    codec.train()
    for layer in (codec.encoder[-1], codec.decoder[-1]):  # at zero, they would block the gradients of earlier layers
        torch.nn.init.normal_(layer.weight, std=0.01)
    output = codec(audio)
    ((output.audio - audio).square().mean() + output.vq_loss).backward()
    silent = [
        name
        for name, weight in codec.named_parameters()
        if not name.startswith("prior.") and (weight.grad is None or not weight.grad.abs().sum() > 0)
    ]
    assert silent == []

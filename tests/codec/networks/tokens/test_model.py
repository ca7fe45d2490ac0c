from dataclasses import replace

import pytest
import torch

from telucodec.networks.tokens.model import TokenCodec
from tests.codec.configurations import quantizer_config, token_config

PLAIN = token_config(
    hop=160,
    latent_dim=24,
    channels=32,
    encoder_layers=1,
    decoder_layers=2,
    quantizer=quantizer_config(num_codebooks=4, codebook_size=64),
)
NOISY = replace(PLAIN, noise_from=1600.0)  # its first codebook codes energies


@pytest.fixture(scope="module")
def audio(spoken):
    return torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(6)])


def fitted(audio, config):
    torch.manual_seed(0)
    codec = TokenCodec(config)
    codec.fit(audio)
    return codec.eval()


@pytest.fixture(params=[PLAIN, NOISY], ids=["plain", "noisy"])
def codec(audio, request):
    return fitted(audio, request.param)


def snr(audio, output):
    return float(10 * torch.log10(audio.square().sum() / (audio - output).detach().square().sum()))


def test_before_training_the_snr_is_positive_and_grows_with_the_rate(audio):
    codec = fitted(audio, PLAIN)
    codes = codec.encode(audio)
    assert codes.shape == (6, 4, codec.mdct.frames(audio.shape[1]))
    ratios = [
        snr(audio, codec.decode(codec.encode(audio, num_codebooks), audio.shape[1])) for num_codebooks in (1, 2, 4)
    ]
    assert 0 < ratios[0] < ratios[1] < ratios[2]


def test_before_training_the_levels_above_are_right_with_one_codebook(audio):
    codec = fitted(audio, NOISY)
    output = codec.decode(codec.encode(audio, 1), audio.shape[1])
    energies = [codec.spectrum.energies(codec.mdct(signal) / codec.level) for signal in (audio, output)]
    loud = energies[0] > energies[0].mean()
    difference = (energies[1] - energies[0])[loud]
    assert abs(float(difference.mean())) < 0.2 and float(difference.std()) < 1.0  # nepers


def test_a_random_start_is_worse_than_pca(audio):
    random, codec = (fitted(audio, config) for config in (replace(PLAIN, init="random"), PLAIN))
    assert snr(audio, random(audio).audio) < snr(audio, codec(audio).audio) - 3


def test_without_encoder_layers_nothing_moves_the_latents(audio):
    codec = fitted(audio, replace(NOISY, encoder_layers=0))
    assert codec.encoder is None and not codec.analysis.weight.requires_grad
    assert not codec.analyse(audio).latents.requires_grad


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
    codec = fitted(audio, replace(NOISY, output_activation="tanh"))
    assert codec(audio * 50).audio.abs().max() <= 1


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

from dataclasses import replace

import pytest
import torch

from telucodec.networks.tokens.model import TokenCodec
from tests.codec.configurations import quantizer_config, token_config, vocoder_config

QUANTIZER = quantizer_config(num_codebooks=6, codebook_size=64)
PLAIN = token_config(
    hop=160,
    latent_dim=24,
    channels=32,
    encoder_layers=1,
    decoder_layers=2,
    quantizer=replace(QUANTIZER, num_codebooks=4),
)
SPOKEN = vocoder_config(channels=32, decoder_layers=2, quantizer=QUANTIZER)


@pytest.fixture(scope="module")
def audio(spoken):
    return torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(6)])


def fitted(audio, config):
    torch.manual_seed(0)
    codec = TokenCodec(config)
    codec.fit(audio)
    return codec.eval()


@pytest.fixture(params=[PLAIN, SPOKEN], ids=["transform", "vocoder"])
def codec(audio, request):
    return fitted(audio, request.param)


def snr(audio, output):
    return float(10 * torch.log10(audio.square().sum() / (audio - output).detach().square().sum()))


def test_before_training_the_snr_is_positive_and_grows_with_the_rate(audio):
    codec = fitted(audio, PLAIN)
    codes = codec.encode(audio)
    assert codes.shape == (6, 4, codec.frames(audio.shape[1]))
    ratios = [
        snr(audio, codec.decode(codec.encode(audio, num_codebooks), audio.shape[1])) for num_codebooks in (1, 2, 4)
    ]
    assert 0 < ratios[0] < ratios[1] < ratios[2]


def test_before_training_a_vocoder_has_the_levels_of_the_speech_and_its_waveform_with_the_phase(audio):
    codec = fitted(audio, replace(SPOKEN, quantizer=replace(QUANTIZER, codebook_size=1024)))
    without, complete = (codec.decode(codec.encode(audio, count), audio.shape[1]) for count in (4, 6))
    for output in (without, complete):
        bands = [
            torch.stft(x, 512, 256, window=torch.hann_window(512), return_complex=True).abs() for x in (audio, output)
        ]
        levels = [20 * (band[:, 4:128].square().mean(2) + 1e-9).sqrt().log10() for band in bands]
        assert float((levels[1] - levels[0]).mean().abs()) < 3  # dB
    assert snr(audio, without) < 0 < snr(audio, complete)


def test_frames_without_any_code_are_silent(audio):
    codec = fitted(audio, SPOKEN)
    codes = codec.encode(audio)
    codes[:, :, 40:80] = -1
    output = codec.decode(codes, audio.shape[1])
    assert output[:, 43 * 320 : 78 * 320].square().mean() < 1e-3 * output[:, : 40 * 320].square().mean()


def test_items_without_the_phase_codebook_are_trained_as_they_are_decoded(audio):
    codec = fitted(audio, SPOKEN)
    counts = torch.tensor([1, 4, 5, 6, 6, 6])
    output = codec(audio, counts)
    for count in (1, 4, 5, 6):
        rows = counts == count
        expected = codec.decode(output.codes[rows, :count], audio.shape[1])
        assert torch.allclose(output.audio[rows], expected, atol=1e-4)


def test_items_whose_frames_share_codebooks_are_trained_as_they_are_decoded(audio):
    codec = fitted(audio, SPOKEN)
    audio = audio.clone()
    audio[:, 20000:40000] = 0  # silent frames use no codebook, not even that of the pitch
    counts, shared = torch.full((6,), 4), torch.ones(6, dtype=torch.bool)
    output = codec(audio, counts, shared)
    used = codec.quantizer(codec.analyse(audio).latents, counts - 1, shared, codec.coding.absent).used
    assert int(used.min()) == 0 and int(used.max()) == 4
    depth = torch.tensor([0, 2, 3, 4, 6])[used]  # besides those of the spectrum, the codebooks of pitch and phase
    codes = torch.where(torch.arange(6)[:, None] < depth[:, None], output.codes, -1)
    assert torch.allclose(output.audio, codec.decode(codes, audio.shape[1]), atol=1e-4)


def test_a_random_start_is_worse_than_pca(audio):
    random, codec = (fitted(audio, config) for config in (replace(PLAIN, init="random"), PLAIN))
    assert snr(audio, random(audio).audio) < snr(audio, codec(audio).audio) - 3


def test_without_encoder_layers_nothing_moves_the_latents(audio):
    codec = fitted(audio, replace(PLAIN, encoder_layers=0))
    assert codec.coding.encoder is None and not codec.coding.analysis.weight.requires_grad
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
    hop, frames = codec.config.hop, 50 * 160 // codec.config.hop
    changed = audio.clone()
    changed[:, frames * hop :] = 0
    before, after = codec.encode(audio), codec.encode(changed)
    assert torch.equal(before[:, :, :frames], after[:, :, :frames])
    samples = audio.shape[1]
    ahead = before.clone()
    ahead[:, :, frames:] = 0
    end = hop * (frames - 1)
    assert torch.allclose(codec.decode(before, samples)[:, :end], codec.decode(ahead, samples)[:, :end], atol=1e-5)


def test_tanh_bounds_the_output(audio):
    codec = fitted(audio, replace(PLAIN, output_activation="tanh"))
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
    encoder = getattr(codec.coding, "encoder", None)
    for layer in [
        stack[-1] for stack in (encoder, codec.decoder) if stack is not None
    ]:  # at zero, they would block the gradients of earlier layers
        torch.nn.init.normal_(layer.weight, std=0.01)
    output = codec(audio)
    ((output.audio - audio).square().mean() + output.vq_loss).backward()
    silent = [
        name
        for name, weight in codec.named_parameters()
        if not name.startswith("prior.") and (weight.grad is None or not weight.grad.abs().sum() > 0)
    ]
    assert silent == []

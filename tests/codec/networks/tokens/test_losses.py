import math
from dataclasses import replace

import pytest
import torch

from telucodec.networks.tokens.losses import CodecLoss, negative_snr
from tests.codec.configurations import loss_config


@pytest.fixture(scope="module")
def audio(spoken):
    return torch.stack([torch.from_numpy(spoken(1, seed)) for seed in range(3)])


def gradient(config, audio, output):
    output = output.clone().requires_grad_()
    CodecLoss(config)(audio, output, torch.zeros(()))["total"].backward()
    return output.grad


ONLY_MSE = loss_config(l1_weight=0, mse_weight=1, perceptual_weight=0, vq_weight=0, snr_weight=0, shaped_snr_weight=0)


def test_total_is_the_weighted_sum(audio):
    config = loss_config(mel_weight=0.5, level_weight=0.3)
    terms = CodecLoss(config)(audio, audio * 0.8, torch.tensor(0.3))
    weighted = sum(getattr(config, f"{name}_weight") * float(value) for name, value in terms.items() if name != "total")
    assert float(terms["total"]) == pytest.approx(weighted, rel=1e-5)
    assert set(terms) == {"total", "l1", "mse", "perceptual", "vq", "snr", "shaped_snr", "mel", "level"}


def test_a_perfect_output_costs_only_the_snr_floor(audio):
    terms = CodecLoss(loss_config())(audio, audio, torch.zeros(()))
    assert all(float(terms[name]) == 0 for name in ("l1", "mse", "perceptual", "vq"))
    assert float(terms["snr"]) == pytest.approx(0.5 * math.log(1e-4), rel=0.05)


def test_the_snr_term_is_the_negative_snr_in_nepers(audio):
    noise = torch.randn_like(audio)
    noise *= 0.1 * audio.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)  # 20 dB
    assert float(negative_snr(audio, audio + noise)) == pytest.approx(-20 / 8.686, rel=0.01)


def test_the_shaped_snr_weighs_noise_most_where_speech_is_weak(audio):
    low, high = (torch.sin(2 * math.pi * hertz * torch.arange(16000) / 16000) * 0.01 for hertz in (500, 6000))
    config = replace(ONLY_MSE, mse_weight=0, shaped_snr_weight=1)
    near, far = (float(CodecLoss(config)(audio, audio + noise, torch.zeros(()))["total"]) for noise in (low, high))
    assert far > near + 0.3
    tenth = float(CodecLoss(config)(audio, audio + high / 10, torch.zeros(()))["total"])
    assert far - tenth == pytest.approx(math.log(10), rel=0.1)


def test_a_term_of_weight_zero_is_not_computed(audio):
    assert set(CodecLoss(ONLY_MSE)(audio, audio, torch.zeros(()))) == {"total", "mse"}


def test_the_mse_clamp_has_no_gradient_above_it(audio):
    far = audio + 2.0
    clamped = replace(ONLY_MSE, mse_clamp=1.0)
    unclamped = replace(ONLY_MSE, mse_clamp=None)
    assert gradient(clamped, audio, far).abs().sum() == 0
    assert gradient(unclamped, audio, far).abs().sum() > 0
    assert gradient(clamped, audio, audio + 0.1).abs().sum() > 0


def test_the_stft_is_float32_under_autocast_only_if_configured(audio):
    values = {}
    for dtype in ("float32", "autocast"):
        config = replace(ONLY_MSE, mse_weight=0, perceptual_weight=1, stft_dtype=dtype)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values[dtype] = CodecLoss(config)(audio, audio * 0.9, torch.zeros(()))["perceptual"]
    exact = CodecLoss(replace(ONLY_MSE, mse_weight=0, perceptual_weight=1))(audio, audio * 0.9, torch.zeros(()))[
        "perceptual"
    ]
    assert float(values["float32"]) == float(exact)
    assert float(values["autocast"]) != float(exact)

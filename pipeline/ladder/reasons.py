"""Why a fix does what it does: each one's mechanism measured by itself, on validation speech, before any training."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from codec.tokens.losses import CodecLoss, LossConfig
from codec.tokens.model import TokenCodec, TokenConfig
from codec.tokens.quantizer import QuantizerConfig, ResidualVQ
from pipeline import files
from pipeline.shards import Shards

SECONDS = 1.0  # of each piece
PIECES = 192
CODEWORDS = 256  # in each codebook, where there is speech enough to start them


def write(steps: int) -> None:
    """Write docs/figures/reasons.json, for rungs that train for so many steps."""
    torch.manual_seed(0)
    rows = [list(row) for row in measured(speech(), steps)]
    columns = ["parameter", "what was measured", "faulty", "fixed"]
    files.write_json(Path("docs/figures/reasons.json"), {"columns": columns, "rows": rows})


def speech() -> Tensor:
    """Pieces of validation speech [pieces, samples]."""
    size = round(SECONDS * TokenConfig.sample_rate)
    clips = map(torch.from_numpy, Shards(files.SHARDS / "validation").audible(PIECES))
    pieces = [clip[start : start + size] for clip in clips for start in range(0, len(clip) - size + 1, size)]
    return torch.stack(pieces[:PIECES])


def measured(audio: Tensor, steps: int) -> Iterator[tuple[str, str, str, str]]:
    """Rows: parameter, what was measured, with the faulty value, with the fixed one."""
    codec = _fitted(audio)
    latents = codec.latents(audio).detach()
    yield (
        "`preprocess.normalize`",
        "standard deviation of the pieces' levels (RMS) as the codec sees them, `peak` against `clip`",
        f"{_level_spread(audio / audio.abs().amax(1, keepdim=True).clamp(min=1e-8)):.1f} dB",
        f"{_level_spread(audio.clamp(-1, 1)):.1f} dB",
    )
    yield (
        "`model.output_activation`",
        "SNR of a codec without any error but this last step",
        f"{_snr(audio, audio.tanh()):.1f} dB",
        "no limit",
    )
    loud = 3 * torch.randn_like(audio)
    yield (
        "`loss.mse_clamp`",
        f"gradient of the MSE term at the output where MSE is {float(loud.square().mean()):.0f}: with the clamp, without "
        f"(against silence MSE is {float(audio.square().mean()):.4f} on this speech: the clamp never acts)",
        *(f"{_mse_gradient(audio, audio + loud, clamp):.1e}" for clamp in (1.0, None)),
    )
    yield (
        "`loss.stft_dtype`",
        "mean error of log magnitudes of the STFT in bfloat16",
        f"{_log_magnitude_error(audio):.4f}",
        "0",
    )
    starts = {
        "normal, 1.0": _quantizer(codec, init="normal", init_scale=1.0),
        "normal, 0.01": _quantizer(codec, init="normal", init_scale=0.01),
        "k-means": codec.quantizer,
    }
    left = {name: _left_over(quantizer, latents) for name, quantizer in starts.items()}
    yield (
        "`quantizer.init`",
        "SNR of the quantised latents before training: normal 1.0 and 0.01, against k-means",
        f"{left['normal, 1.0']:.1f} and {left['normal, 0.01']:.1f} dB",
        f"{left['k-means']:.1f} dB",
    )
    yield (
        "`quantizer.loss_clamp`",
        "VQ loss before training, normal 1.0 and k-means; its gradient is 0 from 10 on",
        f"{float(starts['normal, 1.0'](latents).loss):.2f}",
        f"{float(codec.quantizer(latents).loss):.2f}",
    )
    yield (
        "`quantizer.ema_target`",
        "how far a training step moves the codewords (RMS)",
        *(f"{_movement(codec, latents, target):.1e}" for target in ("quantized", "residual")),
    )
    yield (
        "`quantizer.commitment`",
        "gradient of the VQ loss at the encoder's output (norm)",
        *(f"{_vq_gradient(codec, latents, commitment=way):.1e}" for way in ("codebook", "encoder")),
    )
    yield (
        "`quantizer.detach_residual`",
        "the same, without and with",
        *(f"{_vq_gradient(codec, latents, detach_residual=detached):.1e}" for detached in (False, True)),
    )
    yield (
        "`loss.vq_weight`",
        "slope of the weighted VQ term as the encoder's output is scaled up (above 0: it shrinks the output), weight 1 and 0.25",
        *(f"{_slope(codec, audio, 'vq', vq_weight=weight):+.3f}" for weight in (1.0, 0.25)),
    )
    yield (
        "`loss.snr_weight`",
        "the same slope of all terms that look at the audio, without and with the SNR term (below 0: they hold against it)",
        *(f"{_slope(codec, audio, 'audio', snr_weight=weight):+.3f}" for weight in (0.0, 1.0)),
    )
    random = TokenCodec(replace(codec.config, init="random"))
    yield (
        "`model.init`",
        "SNR through the linear maps alone, nothing quantised: random against principal components",
        *(f"{_through(model, audio):.1f} dB" for model in (random, codec)),
    )
    yield (
        "`train.learning_rate`",
        f"how far Adam can move a weight in the {steps} steps of a rung, over the RMS of the encoder's weights, at 1e-5 and 1e-3",
        *(f"{steps * rate / _weight_rms(random):.2f}" for rate in (1e-5, 1e-3)),
    )


def _fitted(audio: Tensor) -> TokenCodec:
    frames = audio.numel() // TokenConfig.hop
    codec = TokenCodec(TokenConfig(quantizer=QuantizerConfig(size=min(CODEWORDS, frames // 4))))
    codec.fit(audio)
    return codec.eval()


def _quantizer(codec: TokenCodec, **settings) -> ResidualVQ:
    return ResidualVQ(replace(codec.config.quantizer, **settings), codec.config.latent).eval()


def _changed(codec: TokenCodec, **settings) -> ResidualVQ:
    quantizer = _quantizer(codec, **settings)
    quantizer.load_state_dict(codec.quantizer.state_dict())
    return quantizer


def _snr(signal: Tensor, estimate: Tensor) -> float:
    return 10 * math.log10(float(signal.square().sum()) / max(float((signal - estimate).square().sum()), 1e-12))


def _level_spread(audio: Tensor) -> float:
    levels = 10 * torch.log10(audio.square().mean(1).clamp(min=1e-8))
    return float(levels.std())


def _mse_gradient(audio: Tensor, output: Tensor, clamp: float | None) -> float:
    output = output.clone().requires_grad_()
    weights = dict(l1_weight=0, perceptual_weight=0, vq_weight=0, snr_weight=0, shaped_snr_weight=0)
    loss = CodecLoss(LossConfig(mse_weight=1.0, mse_clamp=clamp, **weights))
    loss(audio, output, torch.zeros(()))["total"].backward()
    return float(output.grad.norm())


def _log_magnitude_error(audio: Tensor) -> float:
    spectrum = torch.stft(audio, 1024, 512, window=torch.hann_window(1024), return_complex=True).abs()
    exact, rounded = (spectrum + 1e-4).log(), (spectrum.bfloat16() + 1e-4).log().float()
    return float((exact - rounded).abs().mean())


@torch.no_grad()
def _left_over(quantizer: ResidualVQ, latents: Tensor) -> float:
    return _snr(latents, quantizer(latents).latents)


def _movement(codec: TokenCodec, latents: Tensor, target: str) -> float:
    quantizer = _changed(codec, ema_target=target, dead_code_share=0.0).train()
    before = quantizer.codebooks.clone()
    with torch.no_grad():
        quantizer(latents)
    return float((quantizer.codebooks - before).square().mean().sqrt())


def _vq_gradient(codec: TokenCodec, latents: Tensor, **settings) -> float:
    latents = latents.clone().requires_grad_()
    loss = _changed(codec, **settings)(latents).loss
    if not loss.requires_grad:
        return 0.0
    loss.backward()
    return float(latents.grad.norm())


def _slope(codec: TokenCodec, audio: Tensor, part: str, vq_weight: float = 1.0, snr_weight: float = 0.0) -> float:
    """Derivative of a part of the loss, `vq` or `audio`, by a factor on the latents, at 1."""
    factor = torch.ones((), requires_grad=True)
    quantized = codec.quantizer(codec.latents(audio).detach() * factor)
    weights = dict(vq_weight=vq_weight, snr_weight=snr_weight, shaped_snr_weight=0.0)
    loss = CodecLoss(LossConfig(**weights))
    terms = loss(audio, codec.synthesize(quantized.latents, audio.shape[1]), quantized.loss)
    vq = vq_weight * terms["vq"]
    return float(torch.autograd.grad(vq if part == "vq" else terms["total"] - vq, factor)[0])


@torch.no_grad()
def _through(codec: TokenCodec, audio: Tensor) -> float:
    return _snr(audio, codec.synthesize(codec.latents(audio), audio.shape[1]))


def _weight_rms(codec: TokenCodec) -> float:
    weights = torch.cat([weight.detach().flatten() for weight in codec.encoder.parameters() if weight.dim() > 1])
    return float(weights.square().mean().sqrt())

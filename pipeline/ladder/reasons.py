"""Why a fix works: the mechanism of each one, measured by itself on validation speech before any training."""

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.common import files
from pipeline.common.sections import Params
from pipeline.common.shards import Shards
from pipeline.training.tokens import loss_config, token_config
from telucodec.networks.tokens.losses import CodecLoss, LossConfig
from telucodec.networks.tokens.model import TokenCodec
from telucodec.networks.tokens.quantizer import ResidualVQ
from telucodec.networks.tokens.transform import Transform

SECONDS = 1.0  # length of a piece
PIECES = 192

Row = tuple[str, str, str, str]  # parameter, what was measured, result with the faulty value, with the fixed one


def write(params: Params) -> None:
    """Write docs/figures/reasons.json for rungs with these parameters."""
    torch.manual_seed(0)
    rows = [list(row) for row in measured(params, speech(params.preprocess.sample_rate))]
    columns = ["parameter", "what was measured", "faulty", "fixed"]
    files.write_json(Path("docs/figures/reasons.json"), {"columns": columns, "rows": rows})


def speech(sample_rate: int) -> Tensor:
    """Pieces of validation speech [pieces, samples]."""
    size = round(SECONDS * sample_rate)
    clips = map(torch.from_numpy, Shards(files.SHARDS / "validation").audible(PIECES))
    pieces = [clip[start : start + size] for clip in clips for start in range(0, len(clip) - size + 1, size)]
    return torch.stack(pieces[:PIECES])


def measured(params: Params, audio: Tensor) -> Iterator[Row]:
    """One row per mechanism."""
    codec = fitted(params, audio)
    loss = loss_config(params)
    steps = params.train.epochs * params.train.steps_per_epoch
    latents = codec.analyse(audio).latents.detach()
    yield _row(
        "`preprocess.normalize`",
        "standard deviation of the levels (RMS) of the pieces, `peak` against `clip`",
        f"{_level_spread(audio / audio.abs().amax(1, keepdim=True).clamp(min=1e-8)):.1f} dB",
        f"{_level_spread(audio.clamp(-1, 1)):.1f} dB",
    )
    yield _row(
        "`faults.model.output_activation`",
        "SNR of a codec whose only error is this last step",
        f"{_snr(audio, audio.tanh()):.1f} dB",
        "no limit",
    )
    loud = 3 * torch.randn_like(audio)
    yield _row(
        "`faults.loss.mse_clamp`",
        f"gradient of the MSE at the output where the MSE is {float(loud.square().mean()):.0f}, with and without the clamp "
        f"(for a silent output the MSE of this speech is {float(audio.square().mean()):.4f}: the clamp never acts)",
        *(f"{_mse_gradient(loss, audio, audio + loud, clamp):.1e}" for clamp in (1.0, None)),
    )
    yield _row(
        "`faults.loss.stft_dtype`",
        "mean error of the log magnitudes of the STFT in bfloat16",
        f"{_log_magnitude_error(audio):.4f}",
        "0",
    )
    starts = {
        "normal, 1.0": _quantizer(codec, init="normal", init_scale=1.0),
        "normal, 0.01": _quantizer(codec, init="normal", init_scale=0.01),
        "k-means": codec.quantizer,
    }
    left = {name: _left_over(quantizer, latents) for name, quantizer in starts.items()}
    yield _row(
        "`faults.quantizer.init`",
        "SNR of the quantised latents before training: normal 1.0 and 0.01 against k-means",
        f"{left['normal, 1.0']:.1f} and {left['normal, 0.01']:.1f} dB",
        f"{left['k-means']:.1f} dB",
    )
    yield _row(
        "`faults.quantizer.loss_clamp`",
        "VQ loss before training, normal 1.0 and k-means; the clamp sets its gradient to 0 above 10",
        f"{float(starts['normal, 1.0'](latents).loss):.2f}",
        f"{float(codec.quantizer(latents).loss):.2f}",
    )
    yield _row(
        "`faults.quantizer.ema_target`",
        "movement of the codewords in one training step (RMS)",
        *(f"{_movement(codec, latents, target):.1e}" for target in ("quantized", "residual")),
    )
    yield _row(
        "`faults.quantizer.commitment`",
        "gradient of the VQ loss at the output of the encoder (norm)",
        *(f"{_vq_gradient(codec, latents, commitment=way):.1e}" for way in ("codebook", "encoder")),
    )
    yield _row(
        "`faults.quantizer.detach_residual`",
        "the same, without and with",
        *(f"{_vq_gradient(codec, latents, detach_residual=detached):.1e}" for detached in (False, True)),
    )
    yield _row(
        "`loss.vq_weight`",
        "slope of the weighted VQ term as the encoder's output is scaled up (above 0: it shrinks the output), weights 1 and 0.25",
        *(f"{_slope(codec, replace(loss, vq_weight=weight), audio, 'vq'):+.3f}" for weight in (1.0, 0.25)),
    )
    yield _row(
        "`loss.snr_weight`",
        "the same slope of all terms of the audio, without and with the SNR term (below 0: they resist)",
        *(f"{_slope(codec, replace(loss, snr_weight=weight), audio, 'audio'):+.3f}" for weight in (0.0, 1.0)),
    )
    random = TokenCodec(replace(codec.config, init="random"))
    yield _row(
        "`faults.model.init`",
        "SNR of the linear maps alone, without quantisation: random against principal components",
        *(f"{_through(model, audio):.1f} dB" for model in (random, codec)),
    )
    yield _row(
        "`train.learning_rate`",
        f"distance that Adam can move a weight in {steps} steps, relative to the RMS weight of the encoder, at 1e-5 and 1e-3",
        *(f"{steps * rate / _weight_rms(random):.2f}" for rate in (1e-5, 1e-3)),
    )


def _row(parameter: str, measured: str, *results: str) -> Row:
    faulty, fixed = results
    return parameter, measured, faulty, fixed


def fitted(params: Params, audio: Tensor) -> TokenCodec:
    """A codec before training; its codebooks are smaller where there is little speech."""
    config = token_config(params)
    frames = audio.numel() // config.hop
    size = min(config.quantizer.codebook_size, frames // 4)
    codec = TokenCodec(replace(config, quantizer=replace(config.quantizer, codebook_size=size)))
    codec.fit(audio)
    return codec.eval()


def _quantizer(codec: TokenCodec, **settings: Any) -> ResidualVQ:
    return ResidualVQ(replace(codec.config.quantizer, **settings), codec.config.latent_dim).eval()


def _changed(codec: TokenCodec, **settings: Any) -> ResidualVQ:
    quantizer = _quantizer(codec, **settings)
    quantizer.load_state_dict(codec.quantizer.state_dict())
    return quantizer


def _snr(signal: Tensor, estimate: Tensor) -> float:
    return 10 * math.log10(float(signal.square().sum()) / max(float((signal - estimate).square().sum()), 1e-12))


def _level_spread(audio: Tensor) -> float:
    levels = 10 * torch.log10(audio.square().mean(1).clamp(min=1e-8))
    return float(levels.std())


def _mse_gradient(config: LossConfig, audio: Tensor, output: Tensor, clamp: float | None) -> float:
    output = output.clone().requires_grad_()
    weights: dict[str, Any] = {field.name: 0.0 for field in fields(config) if field.name.endswith("_weight")}
    loss = CodecLoss(replace(config, **weights | {"mse_weight": 1.0, "mse_clamp": clamp}))
    total = loss(audio, output, torch.zeros(()))["total"]
    return float(torch.autograd.grad(total, output)[0].norm())


def _log_magnitude_error(audio: Tensor) -> float:
    spectrum = torch.stft(audio, 1024, 512, window=torch.hann_window(1024), return_complex=True).abs()
    exact, rounded = (spectrum + 1e-4).log(), (spectrum.bfloat16() + 1e-4).log().float()
    return float((exact - rounded).abs().mean())


@torch.no_grad()
def _left_over(quantizer: ResidualVQ, latents: Tensor) -> float:
    return _snr(latents, quantizer(latents).latents)


def _movement(codec: TokenCodec, latents: Tensor, target: str) -> float:
    quantizer = _changed(codec, ema_target=target, dead_code_share=0.0).train()
    before = quantizer.get_buffer("codebooks").clone()
    with torch.no_grad():
        quantizer(latents)
    return float((quantizer.get_buffer("codebooks") - before).square().mean().sqrt())


def _vq_gradient(codec: TokenCodec, latents: Tensor, **settings: Any) -> float:
    latents = latents.clone().requires_grad_()
    loss = _changed(codec, **settings)(latents).loss
    if not loss.requires_grad:
        return 0.0
    return float(torch.autograd.grad(loss, latents)[0].norm())


def _slope(codec: TokenCodec, config: LossConfig, audio: Tensor, part: str) -> float:
    """Derivative of a part of the loss, `vq` or `audio`, with respect to a factor on the latents, at 1."""
    factor = torch.ones((), requires_grad=True)
    analysis = codec.analyse(audio)
    quantized = codec.quantizer(analysis.latents.detach() * factor)
    loss = CodecLoss(replace(config, shaped_snr_weight=0.0))
    terms = loss(audio, codec.synthesize(analysis.own, quantized.latents, audio.shape[1]), quantized.loss)
    vq = config.vq_weight * terms["vq"]
    return float(torch.autograd.grad(vq if part == "vq" else terms["total"] - vq, factor)[0])


@torch.no_grad()
def _through(codec: TokenCodec, audio: Tensor) -> float:
    return _snr(audio, codec.synthesize(*codec.analyse(audio), audio.shape[1]))


def _weight_rms(codec: TokenCodec) -> float:
    assert isinstance(codec.coding, Transform) and codec.coding.encoder is not None  # as fixes.yaml says
    layers = codec.coding.encoder.parameters()
    weights = torch.cat([weight.detach().flatten() for weight in layers if weight.dim() > 1])
    return float(weights.square().mean().sqrt())

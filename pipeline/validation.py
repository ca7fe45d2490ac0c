"""What train measures of the token codec after every epoch."""

import torch
from torch import Tensor

from codec.tokens.losses import CodecLoss
from codec.tokens.model import TokenCodec
from pipeline.shards import Shards

CLIPS = 40  # evenly spaced over the split: enough to steer by, small beside an epoch


@torch.no_grad()
def validate(model: TokenCodec, loss: CodecLoss, shards: Shards, device: torch.device) -> dict[str, float]:
    """Means over validation clips.

    Returns:
        `snr_N` in dB at every number N of codebooks; at all codebooks: `range_ratio` (peak-to-peak of the output over the
        input's), `rms_ratio`, `output_mean`, `loss` and its terms as `loss_NAME`.
    """
    model.eval()
    clips = (torch.from_numpy(clip)[None].to(device) for clip in shards.audible(CLIPS))
    rows = [_measure(model, loss, audio) for audio in clips]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _measure(model: TokenCodec, loss: CodecLoss, audio: Tensor) -> dict[str, float]:
    quantized = model.quantizer(model.latents(audio))
    prefixes = model.quantizer.decode_prefixes(quantized.codes).flatten(0, 1)
    outputs = model.synthesize(prefixes, audio.shape[1])
    row = {f"snr_{levels}": float(_snr(audio[0], output)) for levels, output in enumerate(outputs, 1)}
    output = outputs[-1:]
    row["range_ratio"] = float((output.max() - output.min()) / (audio.max() - audio.min()).clamp(min=1e-8))
    row["rms_ratio"] = float(output.square().mean().sqrt() / audio.square().mean().sqrt().clamp(min=1e-8))
    row["output_mean"] = float(output.mean())
    terms = loss(audio, output, quantized.loss)
    row["loss"] = float(terms.pop("total"))
    return row | {f"loss_{name}": float(value) for name, value in terms.items()}


def _snr(audio: Tensor, output: Tensor) -> Tensor:
    return 10 * torch.log10(audio.square().sum() / (audio - output).square().sum().clamp(min=1e-12))


def codebook_use(counts: Tensor) -> dict[str, float]:
    """Perplexity and dead share of every level from how often each codeword was chosen, counts [levels, size].

    Returns:
        `perplexity_N` in codewords and `dead_N`, the share of codewords never chosen, for levels N from 1.
    """
    share = counts.double() / counts.sum(1, keepdim=True).clamp(min=1)
    perplexity = torch.special.entr(share).sum(1).exp()
    dead = (counts == 0).double().mean(1)
    measured = {f"perplexity_{level}": float(value) for level, value in enumerate(perplexity, 1)}
    return measured | {f"dead_{level}": float(value) for level, value in enumerate(dead, 1)}

"""What `train` measures of the token codec after every epoch."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipeline.common.shards import Shards
from telucodec.networks.tokens.coding import Analysis
from telucodec.networks.tokens.losses import CodecLoss
from telucodec.networks.tokens.model import TokenCodec

CLIPS = 40  # evenly spaced over the split: enough to compare epochs, small beside the training of one


@torch.no_grad()
def validate(model: TokenCodec, loss: CodecLoss, shards: Shards, device: torch.device) -> dict[str, float]:
    """Means over validation clips.

    Returns:
        `snr_N` in dB with the first N codebooks, for every N. With all codebooks: `snr` in dB, `range_ratio` (peak-to-peak
        of the output over that of the input), `rms_ratio`, `output_mean`, `loss`, and its terms as `loss_NAME`.
    """
    model.eval()
    clips = [torch.from_numpy(clip).to(device) for clip in shards.audible(CLIPS)]
    # All at once, because a GPU waits for the launches of each frame. Nothing in a frame depends on what follows it.
    own, latents = model.analyse(pad_sequence(clips, batch_first=True))
    rows = []
    for number, clip in enumerate(clips):
        frames, item = model.frames(len(clip)), slice(number, number + 1)
        rows.append(_measure(model, loss, clip[None], Analysis(own[item, :, :frames], latents[item, :frames])))
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _measure(model: TokenCodec, loss: CodecLoss, audio: Tensor, analysis: Analysis) -> dict[str, float]:
    quantized = model.quantizer(analysis.latents)
    codes = model.merged(analysis.own, quantized.codes)
    count = torch.arange(1, codes.shape[1] + 1, device=codes.device)[:, None, None]
    prefixes = torch.where(count > count.transpose(0, 1) - 1, codes, -1)  # [number of codebooks, codebooks, frames]
    outputs = model.decode(prefixes, audio.shape[1])
    row = {f"snr_{count}": float(_snr(audio[0], output)) for count, output in enumerate(outputs, 1)}
    row["snr"] = row[f"snr_{len(outputs)}"]
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
    """How evenly each codebook is used, from the number of times each codeword was used: counts [codebooks, codewords].

    Returns:
        `perplexity`, the mean over codebooks in codewords, `perplexity_lowest`, and for each codebook N from 1
        `perplexity_N` and `dead_N`, the share of its codewords that were never used.
    """
    share = counts.double() / counts.sum(1, keepdim=True).clamp(min=1)
    perplexity = torch.special.entr(share).sum(1).exp()
    dead = (counts == 0).double().mean(1)
    return {
        "perplexity": float(perplexity.mean()),
        "perplexity_lowest": float(perplexity.min()),
        **{f"perplexity_{number}": float(value) for number, value in enumerate(perplexity, 1)},
        **{f"dead_{number}": float(value) for number, value in enumerate(dead, 1)},
    }

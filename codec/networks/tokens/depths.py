"""How many codebooks each frame uses, when it is their mean that is given."""

import torch
from torch import Tensor

LEAST = 2 / 3  # of the mean number of codebooks: a frame that has any has that many


def depths(errors: Tensor, mean: Tensor) -> Tensor:
    """The number of codebooks of each frame [batch, frames], given their mean: most where they lower errors most.

    A frame's error counts by its distance from silence. A codebook that helps little by itself counts together with
    those after it, by the convex hull of errors over codebooks (Shoham and Gersho, "Efficient bit allocation for an
    arbitrary set of quantizers", IEEE TASSP 36, 1988).

    Args:
        errors: [batch, frames, num_codebooks + 1], squared error with 0, 1, ... codebooks; with 0, that of silence.
        mean: [batch], over the frames of an item; met as closely as whole frames allow.
    """
    number = torch.arange(errors.shape[2], device=errors.device, dtype=errors.dtype)
    least = (LEAST * mean.to(errors.dtype)).round()[:, None, None]
    errors = torch.where((number > 0) & (number < least), errors[..., :1], errors) * errors[..., :1].sqrt()
    apart = number - number[:, None]
    slopes = (errors[..., :, None] - errors[..., None, :]) / apart  # [..., from, to]
    slopes = slopes.masked_fill(apart <= 0, -torch.inf)
    furthest = slopes.flip(3).cummax(3).values.flip(3)  # the best slope from a number to this one or a larger one
    gains = furthest.cummin(2).values.diagonal(1, 2, 3)  # of each codebook, never more than of those before it
    count = (mean * errors.shape[1]).round().long().clamp(0, gains[0].numel())
    least = gains.flatten(1).sort(1, descending=True).values.gather(1, (count[:, None] - 1).clamp(min=0))
    return ((gains >= least[..., None]) & (gains > 0) & (count[:, None, None] > 0)).sum(2)

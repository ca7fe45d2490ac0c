"""How likely tokens are: tables of integers, from what a frame's first codeword and the frame before tell."""

import numpy as np
import torch
from torch import Tensor, nn

from codec.tokens.quantizer import depths, kmeans, nearest

CONTEXTS = 64  # kinds of frames, by their first codeword
PRICE_BITS = 3  # prices are in eighths of a bit
PRECISION = 16  # bits of a frequency
SMOOTHING = 60.0  # a kind's counts are joined by so many of all kinds together


class TokenPrior(nn.Module):
    """Prices of tokens: -log2 of their probability, in eighths of a bit, so that every machine has the same.

    The first codeword of a frame is told by the kind of the frame before, those after it by the kind of their own frame, and
    its number of levels by that of the frame before. Before `fit` all are equally likely.
    """

    def __init__(self, levels: int, size: int):
        super().__init__()
        self.levels, self.size = levels, size
        self.register_buffer("kinds", torch.zeros(size, dtype=torch.uint8))  # of first codewords
        self.register_buffer("codes", torch.zeros(levels, CONTEXTS + 1, size, dtype=torch.uint8))
        self.register_buffer("depths", torch.zeros(levels + 1, levels + 2, levels + 1, dtype=torch.uint8))

    @torch.no_grad()
    def fit(self, codebook: Tensor, codes: Tensor, errors: Tensor) -> None:
        """Set the prices from speech.

        Args:
            codebook: [size, latent], that of the first level.
            codes: [items, levels, frames].
            errors: [items, frames, levels + 1] as in `depths`.
        """
        count = min(CONTEXTS, self.size)
        self.kinds.copy_(nearest(codebook, kmeans(codebook, count, iterations=20)))
        kinds = self.kinds.long()[codes[:, 0]]
        before = torch.cat([torch.full_like(kinds[:, :1], CONTEXTS), kinds[:, :-1]], dim=1)
        for level in range(self.levels):
            context = kinds if level else before
            counts = _counted(context, codes[:, level], CONTEXTS + 1, self.size)
            all_kinds = (counts.sum(0) + 0.5) / (counts.sum() + 0.5 * self.size)
            counts[CONTEXTS] += (level == 0) * counts.sum(0)  # what follows a pause or a packet's start: anything
            self.codes[level] = _prices(counts + SMOOTHING * all_kinds)
        for mean in range(1, self.levels + 1):
            chosen = depths(errors, torch.full((len(errors),), float(mean), device=errors.device))
            before = torch.cat([torch.full_like(chosen[:, :1], self.levels + 1), chosen[:, :-1]], dim=1)
            self.depths[mean] = _prices(_counted(before, chosen, self.levels + 2, self.levels + 1) + 0.5)


def frequencies(prices: np.ndarray) -> np.ndarray:
    """Frequencies, float32 integers, of prices in eighths of a bit."""
    table = np.rint(2.0**PRECISION * 2.0 ** (-np.arange(256) / 2**PRICE_BITS)).clip(min=1).astype(np.float32)
    return table[prices]


def _counted(context: Tensor, values: Tensor, contexts: int, size: int) -> Tensor:
    """How often each of `size` values occurs in each context [contexts, size]."""
    return torch.bincount((context * size + values).flatten(), minlength=contexts * size).view(contexts, size).float()


def _prices(counts: Tensor) -> Tensor:
    bits = -torch.log2(counts / counts.sum(1, keepdim=True))
    return (bits * 2**PRICE_BITS).round().clamp(0, 255).to(torch.uint8)

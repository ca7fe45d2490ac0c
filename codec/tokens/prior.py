"""How likely tokens are: for each a small network looks at what is known of its frame and of the one before."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from codec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT, ExactLinear, relu
from codec.tokens.quantizer import depths

HIDDEN = 128
PRICE_BITS = 3  # prices of numbers of levels are in eighths of a bit


class TokenPrior(nn.Module):
    """How likely tokens are, the same on every machine.

    A codeword is told by the sums of the codewords at the levels below it, of its frame and of the frame before; one of the
    first level by those of the two frames before. Nothing of a later frame or of a higher level is looked at, so tokens may be
    coded level by level or frame by frame. The layers' arithmetic is exact (`codec.exact`), and powers of two are such as
    `codec.tokens.entropy` finds without rounding (`straightened`). A frame's number of levels is told by that
    of the frame before. At first all are equally likely.
    """

    def __init__(self, levels: int, size: int, latent: int):
        super().__init__()
        self.levels, self.size = levels, size
        self.describe = nn.ModuleList(ExactLinear(2 * latent, HIDDEN) for _ in range(levels))
        self.tell = nn.ModuleList(ExactLinear(HIDDEN, size, gain=0.0) for _ in range(levels))
        self.register_buffer("exponents", torch.zeros(latent, dtype=torch.int8))
        self.register_buffer("depths", torch.zeros(levels + 1, levels + 2, levels + 1, dtype=torch.uint8))

    @torch.no_grad()
    def set_scale(self, latents: Tensor) -> None:
        """Set the range in which the latents are looked at from latents [..., latent] of speech."""
        spread = latents.flatten(0, -2).square().mean(0).sqrt().clamp(min=1e-6)
        self.exponents.copy_((-spread.log2()).round().clamp(-100, 100))

    @torch.no_grad()
    def set_depths(self, errors: Tensor) -> None:
        """Set the prices of numbers of levels from errors [items, frames, levels + 1] of speech, as in `depths`."""
        for mean in range(1, self.levels + 1):
            chosen = depths(errors, torch.full((len(errors),), float(mean), device=errors.device))
            before = torch.cat([torch.full_like(chosen[:, :1], self.levels + 1), chosen[:, :-1]], dim=1)
            cells = before * (self.levels + 1) + chosen
            counts = torch.bincount(cells.flatten(), minlength=self.depths[mean].numel()) + 0.5
            counts = counts.view_as(self.depths[mean])
            logarithms = (counts / counts.sum(1, keepdim=True)).log2()
            whole = logarithms.floor()
            prices = -(whole + (logarithms - whole).exp2() - 1)  # whose `straightened` is the logarithm
            self.depths[mean] = (prices * 2**PRICE_BITS).round().clamp(max=255)

    def codewords(self, codebooks: Tensor) -> Tensor:
        """Codebooks [levels, size, latent] as the networks look at them: integers, and after each book's last a row of zeros."""
        powers = [math.ldexp(1.0, exponent + ACTIVATION_BITS) for exponent in self.exponents.tolist()]
        unit = torch.tensor(powers, device=codebooks.device)  # exact, as the exponential function need not be
        return functional.pad((codebooks * unit).round(), (0, 0, 0, 1))

    def known(self, codes: Tensor, codewords: Tensor) -> Iterator[Tensor]:
        """What is known ahead of each level in turn [batch, frames, 2 * latent] of codes [batch, levels, frames].

        The codes of a level are looked at when the next is asked for; -1 among them takes the last row of `codewords`, which are
        as the method of that name gives them.
        """
        sums = codewords[0][codes[:, 0]]
        before = _earlier(sums)
        yield seen(before, _earlier(before))
        for level in range(1, codes.shape[1]):
            yield seen(sums, _earlier(sums))
            sums = sums + codewords[level][codes[:, level]]

    def logarithms(self, level: int, known: Tensor) -> Tensor:
        """log2 of the probabilities [..., size] of a level's codewords, but for a constant, after `known` [..., 2 * latent]."""
        return straightened(self.tell[level](relu(self.describe[level](known))))

    def forward(self, codes: Tensor, codebooks: Tensor) -> Tensor:
        """Ideal code length in bits of codes [batch, levels, frames], 0 where there is none, for training."""
        bits = []
        for level, known in enumerate(self.known(codes, self.codewords(codebooks))):
            logarithms = math.log(2) * self.logarithms(level, known)
            nepers = functional.cross_entropy(
                logarithms.movedim(2, 1), codes[:, level], ignore_index=-1, reduction="none"
            )
            bits.append(nepers / math.log(2))
        return torch.stack(bits, dim=1)


def straightened(x: Tensor) -> Tensor:
    """log2 of 2^x with a straight line from each power of two to the next, which needs no exponential function.

    Source: Mitchell, "Computer multiplication and division using binary logarithms", IRE Transactions EC-11, 1962.
    """
    whole = x.detach().floor()
    return whole + (1 + x - whole).log2()


def seen(*sums: Tensor) -> Tensor:
    """Sums of integer codewords [..., latent] as activations, side by side."""
    return torch.cat(sums, dim=-1).clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT) * 2.0**-ACTIVATION_BITS


def _earlier(frames: Tensor) -> Tensor:
    """Those one frame before [..., frames, channels]; zeros before the first."""
    return torch.cat([torch.zeros_like(frames[..., :1, :]), frames[..., :-1, :]], dim=-2)

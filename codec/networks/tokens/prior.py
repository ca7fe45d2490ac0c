"""The prior of tokens: a small network predicts each one from the current frame so far and from the frame before."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT
from telucodec.networks.exact import ExactLinear, relu, straightened
from telucodec.networks.tokens.depths import depths

HIDDEN = 128
PRICE_BITS = 3  # prices of depths are in eighths of a bit


class TokenPrior(nn.Module):
    """Probabilities of tokens, identical on every machine.

    The network of a codebook sees the sum of the frame's codewords from the codebooks before it, and the same sum for
    the frame before. The network of the first codebook sees the codewords of the two frames before. Later frames and
    higher codebooks are never used, so tokens can be coded codebook by codebook or frame by frame.

    The arithmetic of the layers is exact (`telucodec.networks.exact`). Powers of two are replaced by `straightened` ones,
    which `telucodec.exact.straightened_powers` computes without rounding.

    A frame's depth, the number of codebooks it uses, has a price that depends on the depth of the frame before.

    Before training, all codewords are equally likely.
    """

    exponents: Tensor  # [latent_dim], int8: latents enter the networks times 2^exponent
    depths: Tensor  # [mean depth, depth before, depth], uint8 prices; depth before num_codebooks + 1: the first frame

    def __init__(self, num_codebooks: int, codebook_size: int, latent_dim: int):
        super().__init__()
        self.num_codebooks = num_codebooks
        self.describe = nn.ModuleList(ExactLinear(2 * latent_dim, HIDDEN) for _ in range(num_codebooks))
        self.tell = nn.ModuleList(ExactLinear(HIDDEN, codebook_size, gain=0.0) for _ in range(num_codebooks))
        self.register_buffer("exponents", torch.zeros(latent_dim, dtype=torch.int8))
        shape = num_codebooks + 1, num_codebooks + 2, num_codebooks + 1
        self.register_buffer("depths", torch.zeros(shape, dtype=torch.uint8))

    @torch.no_grad()
    def set_scale(self, latents: Tensor) -> None:
        """Adapt the range of the inputs to latents [..., latent_dim] of speech."""
        spread = latents.flatten(0, -2).square().mean(0).sqrt().clamp(min=1e-6)
        self.exponents.copy_((-spread.log2()).round().clamp(-100, 100))

    @torch.no_grad()
    def set_depths(self, errors: Tensor) -> None:
        """Set the prices of depths from the errors [batch, frames, num_codebooks + 1] of speech; see `depths`."""
        start = self.num_codebooks + 1
        for mean in range(1, self.num_codebooks + 1):
            depth = depths(errors, torch.full((len(errors),), float(mean), device=errors.device))
            before = torch.cat([torch.full_like(depth[:, :1], start), depth[:, :-1]], dim=1)
            cells = before * (self.num_codebooks + 1) + depth
            counts = torch.bincount(cells.flatten(), minlength=self.depths[mean].numel()) + 0.5
            counts = counts.view_as(self.depths[mean])
            logarithms = (counts / counts.sum(1, keepdim=True)).log2()
            whole = logarithms.floor()
            prices = -(whole + (logarithms - whole).exp2() - 1)  # so that `straightened(-prices)` is the logarithm
            self.depths[mean] = (prices * 2**PRICE_BITS).round().clamp(max=255)

    def codewords(self, codebooks: Tensor) -> Tensor:
        """Codebooks [num_codebooks, codebook_size, latent_dim] as integers, in the units of the networks' inputs.

        Each codebook gets one more row, of zeros.
        """
        powers = [math.ldexp(1.0, exponent + ACTIVATION_BITS) for exponent in self.exponents.tolist()]
        unit = torch.tensor(powers, device=codebooks.device)  # ldexp is exact; an exponential function may not be
        return functional.pad((codebooks * unit).round(), (0, 0, 0, 1))

    def contexts(self, codes: Tensor, codewords: Tensor) -> Iterator[Tensor]:
        """The input [batch, frames, 2 * latent_dim] of each codebook's network in turn.

        Args:
            codes: [batch, codebooks, frames]; those of a codebook are not read before the next input is requested. -1
                selects the row of zeros.
            codewords: from `codewords`.
        """
        sums = codewords[0][codes[:, 0]]
        before = _delayed(sums)
        yield activations(before, _delayed(before))
        for number in range(1, codes.shape[1]):
            yield activations(sums, _delayed(sums))
            sums = sums + codewords[number][codes[:, number]]

    def logarithms(self, number: int, context: Tensor) -> Tensor:
        """log2 of the probabilities [..., codebook_size] of the codewords of codebook `number`, up to a constant.

        `context` is [..., 2 * latent_dim].
        """
        return straightened(self.tell[number](relu(self.describe[number](context))))

    def forward(self, codes: Tensor, codebooks: Tensor) -> Tensor:
        """Ideal code length in bits of codes [batch, codebooks, frames], for training; 0 where a code is -1."""
        bits = []
        for number, context in enumerate(self.contexts(codes, self.codewords(codebooks))):
            logarithms = math.log(2) * self.logarithms(number, context)
            nepers = functional.cross_entropy(
                logarithms.movedim(2, 1), codes[:, number], ignore_index=-1, reduction="none"
            )
            bits.append(nepers / math.log(2))
        return torch.stack(bits, dim=1)


def activations(*sums: Tensor) -> Tensor:
    """Sums of integer codewords [..., latent_dim] as activations, side by side."""
    return torch.cat(sums, dim=-1).clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT) * 2.0**-ACTIVATION_BITS


def _delayed(frames: Tensor) -> Tensor:
    """The frames [..., frames, channels] one frame later, starting with zeros."""
    return torch.cat([torch.zeros_like(frames[..., :1, :]), frames[..., :-1, :]], dim=-2)

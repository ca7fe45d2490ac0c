"""Residual vector quantisation with k-means start, exponential moving averages and replacement of dead codewords."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from codec.precision import full_float32


@dataclass(frozen=True)
class QuantizerConfig:
    """Settings of a residual vector quantiser; params.yaml says what each one does."""

    levels: int = 8
    size: int = 1024
    init: Literal["kmeans", "normal"] = "kmeans"
    init_scale: float = 1.0
    ema_decay: float = 0.99
    ema_target: Literal["residual", "quantized"] = "residual"
    commitment: Literal["encoder", "codebook"] = "encoder"
    loss_clamp: float | None = 10.0
    detach_residual: bool = True
    dead_code_share: float = 0.1
    adaptive: bool = True
    dropout: float = 0.5
    beam: int = 4


class Quantized(NamedTuple):
    """What `ResidualVQ.forward` returns."""

    latents: Tensor  # [batch, frames, latent], gradient passed straight through
    codes: Tensor  # [batch, levels, frames] int64; levels an item does not use hold its nearest codewords all the same
    loss: Tensor  # scalar


class LevelAdapter(nn.Module):
    """Shift and scale of a level's codewords, seen from what the levels before it have coded of the same frame.

    A loud or a voiced frame leaves another residual than a quiet one; the adapter lets one codebook serve them all. It
    starts as the identity. Source: implicit neural codebooks (QINCo, arXiv 2401.14732), here one affine map a level so
    that the search stays two matrix products.
    """

    HIDDEN = 128

    def __init__(self, latent: int):
        super().__init__()
        self.expand = nn.Linear(latent + 1, self.HIDDEN)
        self.reduce = nn.Linear(self.HIDDEN, 2 * latent)
        nn.init.zeros_(self.reduce.weight)
        nn.init.zeros_(self.reduce.bias)

    def forward(self, coded: Tensor) -> tuple[Tensor, Tensor]:
        """What is coded so far [..., latent] to shift and scale, both [..., latent]."""
        level = (coded.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        features = torch.cat([coded / level, level.log()], -1)
        shift, log_scale = self.reduce(functional.gelu(self.expand(features))).chunk(2, -1)
        return shift * level, log_scale.clamp(-4, 4).exp()


class ResidualVQ(nn.Module):
    """Residual vector quantiser over latents [batch, frames, latent].

    Each level codes what the levels before it left over. Distances and moving averages are float32 whatever autocast
    does. Codewords follow the moving average of the residuals assigned to them (van den Oord et al., arXiv 1711.00937);
    a codeword used less than `dead_code_share` of its fair share is replaced by a residual of the current batch and gets
    a full share of usage, as in Mimi (arXiv 2410.00037). The straight-through gradient is taken once, around all levels.
    """

    def __init__(self, config: QuantizerConfig, latent: int):
        super().__init__()
        self.config = config
        shape = config.levels, config.size, latent
        self.register_buffer("codebooks", torch.randn(shape) * config.init_scale)
        self.register_buffer("usage", torch.full(shape[:2], 1 / config.size))  # moving share of assignments
        self.register_buffer("weights", torch.full(shape, 1 / config.size))  # moving sum of squared scales
        self.register_buffer("sums", self.codebooks / config.size)  # moving sum of scaled residuals
        adapters = range(1, config.levels) if config.adaptive else ()
        self.adapters = nn.ModuleDict({str(level): LevelAdapter(latent) for level in adapters})

    @property
    def bits_per_frame(self) -> float:
        return self.config.levels * math.log2(self.config.size)

    @torch.no_grad()
    def fit(self, latents: Tensor, iterations: int = 6) -> None:
        """Start the codebooks by k-means, level after level, each on what the levels before it leave over.

        Args:
            latents: [count, latent], several times more than codewords.
        """
        residual = latents.float()
        for level in range(self.config.levels):
            codebook = kmeans(residual, self.config.size, iterations)
            codes = nearest(residual, codebook)
            self.codebooks[level] = codebook
            self.usage[level] = torch.bincount(codes, minlength=self.config.size).float() / len(codes)
            self.weights[level] = self.usage[level].unsqueeze(1)
            self.sums[level] = codebook * self.weights[level]
            residual = residual - codebook[codes]

    def forward(self, latents: Tensor, levels_used: Tensor | None = None) -> Quantized:
        """Quantise greedily; in training mode also move the codebooks.

        Args:
            latents: [batch, frames, latent].
            levels_used: [batch] how many levels each item uses; None: all.
        """
        with full_float32(latents.device):
            return self._quantize(latents.float(), levels_used)

    def _quantize(self, latents: Tensor, levels_used: Tensor | None) -> Quantized:
        batch, frames, width = latents.shape
        flat = latents.reshape(-1, width)
        if levels_used is None:
            levels_used = torch.full((batch,), self.config.levels, device=latents.device)
        used = levels_used.repeat_interleave(frames)
        residual, coded, total = flat, torch.zeros_like(flat), torch.zeros_like(flat)
        loss, codes = flat.new_zeros(()), []
        for level in range(self.config.levels):
            active = (level < used).unsqueeze(1).float()
            shift, scale = self._adapt(level, coded)
            target = (residual - shift).detach()
            index = squared_errors(target, self.codebooks[level], scale.detach()).argmin(1)
            codeword = shift + scale * self.codebooks[level][index]
            loss = loss + self._loss(residual, codeword, active)
            if self.training:
                self._move(level, target, scale.detach(), index, active)
            total = total + codeword * active
            coded = coded + codeword.detach()
            # Without the detach every level after the first gets no commitment gradient (facebookresearch/encodec#25).
            step = codeword.detach() if self.config.detach_residual else residual + (codeword - residual).detach()
            residual = residual - step
            codes.append(index.view(batch, frames))
        loss = loss / self.config.levels
        if self.config.loss_clamp is not None:
            loss = loss.clamp(max=self.config.loss_clamp)
        # Worth `total`; its gradient reaches the adapters, and the latents as if nothing had been quantised.
        straight_through = total + (flat - flat.detach())
        return Quantized(straight_through.view_as(latents), torch.stack(codes, 1), loss)

    def _adapt(self, level: int, coded: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and scale of a level's codewords given what is coded so far [..., latent]."""
        if str(level) in self.adapters:
            return self.adapters[str(level)](coded)
        return torch.zeros_like(coded), torch.ones_like(coded)

    def _loss(self, residual: Tensor, codeword: Tensor, active: Tensor) -> Tensor:
        if self.config.commitment == "codebook":
            residual = residual.detach()
        error = (residual - codeword).square() * active
        return error.sum() / (active.sum() * residual.shape[1]).clamp(min=1)

    @torch.no_grad()
    def _move(self, level: int, target: Tensor, scale: Tensor, index: Tensor, active: Tensor) -> None:
        """Move the codewords to the weighted mean of target / scale, which minimises |target - scale * codeword|^2."""
        if self.config.ema_target == "quantized":
            target = scale * self.codebooks[level][index]
        counts = torch.zeros_like(self.usage[level]).index_add_(0, index, active[:, 0])
        weights = torch.zeros_like(self.weights[level]).index_add_(0, index, scale.square() * active)
        sums = torch.zeros_like(self.sums[level]).index_add_(0, index, scale * target * active)
        total = counts.sum()
        if total == 0:  # no item of this batch uses the level
            return
        keep, learn = self.config.ema_decay, 1 - self.config.ema_decay
        for average, value in ((self.usage, counts), (self.weights, weights), (self.sums, sums)):
            average[level].mul_(keep).add_(value / total, alpha=learn)
        fair = 1 / self.config.size
        dead = self.usage[level] < self.config.dead_code_share * fair
        # Drawn whether or not a codeword is dead, so that the random stream does not depend on the data.
        drawn = torch.randint(len(target), (self.config.size,), device="cpu").to(target.device)[dead]
        self.usage[level][dead] = fair
        self.weights[level][dead] = fair
        self.sums[level][dead] = target[drawn] / scale[drawn] * fair
        self.codebooks[level] = torch.where(
            self.weights[level] > 0, self.sums[level] / self.weights[level].clamp(min=1e-12), self.codebooks[level]
        )

    @torch.no_grad()
    def encode(self, latents: Tensor, levels: int | None = None) -> Tensor:
        """Latents [batch, frames, latent] to codes [batch, levels, frames] by beam search.

        Of every frame the `beam` best partial sums are kept from level to level (beam 1 is the greedy search). The codes
        of `n` levels are in general not the first `n` of the codes of more levels.
        Source: beam search over the stages, arXiv 2509.19186.
        """
        levels = self.config.levels if levels is None else levels
        batch, frames, width = latents.shape
        wanted = latents.float().reshape(-1, 1, width)
        coded = torch.zeros_like(wanted)
        codes = torch.zeros(batch * frames, 1, 0, dtype=torch.int64, device=latents.device)
        for level in range(levels):
            shift, scale = self._adapt(level, coded)
            target = wanted - coded - shift
            error = target.square().sum(2, keepdim=True) + squared_errors(target, self.codebooks[level], scale)
            keep = 1 if level == levels - 1 else min(self.config.beam, coded.shape[1] * self.config.size)
            best = error.flatten(1).topk(keep, dim=1, largest=False).indices
            parent, index = best // self.config.size, best % self.config.size
            kept = parent.unsqueeze(2).expand(-1, -1, width)
            codeword = shift.gather(1, kept) + scale.gather(1, kept) * self.codebooks[level][index]
            coded = coded.gather(1, kept) + codeword
            history = codes.gather(1, parent.unsqueeze(2).expand(-1, -1, level))
            codes = torch.cat([history, index.unsqueeze(2)], dim=2)
        return codes[:, 0].view(batch, frames, levels).transpose(1, 2)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [batch, levels, frames] to latents [batch, frames, latent]; any number of levels up to all."""
        return self.decode_prefixes(codes)[-1]

    def decode_prefixes(self, codes: Tensor) -> list[Tensor]:
        """The latents [batch, frames, latent] of the first 1, 2, ... of the levels in codes [batch, levels, frames]."""
        batch, levels, frames = codes.shape
        prefixes = [self.codebooks.new_zeros(batch, frames, self.codebooks.shape[2])]
        for level in range(levels):
            shift, scale = self._adapt(level, prefixes[-1])
            prefixes.append(prefixes[-1] + shift + scale * self.codebooks[level][codes[:, level]])
        return prefixes[1:]


def squared_errors(target: Tensor, codebook: Tensor, scale: Tensor | None = None) -> Tensor:
    """|target - scale * codeword|^2 less |target|^2, for target [..., latent] and every codeword: [..., size]."""
    if scale is None:
        return codebook.square().sum(1) - 2 * target @ codebook.t()
    return scale.square() @ codebook.square().t() - 2 * (target * scale) @ codebook.t()


def nearest(points: Tensor, codebook: Tensor) -> Tensor:
    """Index [count] of the codeword nearest to each of points [count, latent], in portions that stay in the cache."""
    return torch.cat([squared_errors(portion, codebook).argmin(1) for portion in points.split(2048)])


def kmeans(points: Tensor, size: int, iterations: int) -> Tensor:
    """Lloyd's algorithm from random points; a cluster that comes out empty starts again at a random point.

    Args:
        points: [count, latent].

    Returns:
        Centres [size, latent].
    """
    if len(points) < size:
        raise ValueError(f"k-means for {size} codewords needs at least as many latents, got {len(points)}")
    centres = points[torch.randperm(len(points), device="cpu")[:size].to(points.device)]
    for _ in range(iterations):
        assigned = nearest(points, centres)
        counts = torch.bincount(assigned, minlength=size).unsqueeze(1)
        means = torch.zeros_like(centres).index_add_(0, assigned, points) / counts.clamp(min=1)
        drawn = points[torch.randint(len(points), (size,), device="cpu").to(points.device)]
        centres = torch.where(counts > 0, means, drawn)
    return centres

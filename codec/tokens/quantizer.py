"""Residual vector quantisation with k-means start, exponential moving averages and replacement of dead codewords."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from codec import distributed
from codec.precision import full_float32

QUIET = 1e-3  # of the mean energy: frames below are not heard as any quieter
SPLIT = 0.1  # of the way from a codeword to a residual: where a codeword that splits its cell is put


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
    dead_code_floor: float = 0.2
    dropout: float = 0.5
    shared: float = 0.0
    beam: int = 4


class Quantized(NamedTuple):
    """What `ResidualVQ.forward` returns."""

    latents: Tensor  # [batch, frames, latent], gradient passed straight through
    codes: Tensor  # [batch, levels, frames] int64; levels an item does not use hold its nearest codewords all the same
    loss: Tensor  # scalar


class ResidualVQ(nn.Module):
    """Residual vector quantiser over latents [batch, frames, latent].

    Each level codes what the levels before it left over. Distances and moving averages are float32 whatever autocast
    does. Codewords follow the moving average of the residuals assigned to them (van den Oord et al., arXiv 1711.00937).
    One that is used less than `dead_code_share` of its fair share is put beside the codeword of a residual of the batch and
    gets a full share of usage, so that the two share out that cell (splitting: Linde, Buzo and Gray, "An algorithm for vector
    quantizer design", IEEE Trans. Communications 28, 1980). Put at the residual itself it would soon be dead again: in many
    dimensions other residuals are no nearer to that one than to their own codeword. No cell is split for a residual shorter
    than `dead_code_floor` of the mean, as pauses are: many and nearly the same, so that more codewords for them are noise.
    The straight-through gradient is taken once, around all levels. In data-parallel training all ranks must call `forward`
    together: the averages are those of the whole batch.
    """

    def __init__(self, config: QuantizerConfig, latent: int):
        super().__init__()
        self.config = config
        shape = config.levels, config.size, latent
        self.register_buffer("codebooks", torch.randn(shape) * config.init_scale)
        self.register_buffer("usage", torch.empty(shape[:2]))  # moving share of assignments
        self.register_buffer("sums", torch.empty(shape))  # moving sum of what was assigned
        self.restart()

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
            self.codebooks[level] = codebook
            codes = nearest(residual, codebook)
            counts = torch.bincount(codes, minlength=self.config.size).float()
            self.usage[level] = counts / len(codes)
            self.sums[level] = codebook * self.usage[level, :, None]
            residual = residual - codebook[codes]

    @torch.no_grad()
    def restart(self) -> None:
        """Begin the moving averages anew, every codeword with its fair share of usage."""
        self.usage.fill_(1 / self.config.size)
        self.sums.copy_(self.codebooks / self.config.size)

    def forward(self, latents: Tensor, levels: Tensor | None = None, shared: Tensor | None = None) -> Quantized:
        """Quantise; in training mode also move the codebooks.

        Args:
            latents: [batch, frames, latent].
            levels: [batch] how many levels each item uses; None: all.
            shared: [batch] bool, items whose frames share out that many levels among them (`depths`), so that it is only
                their mean; None: no item.
        """
        with full_float32(latents.device):
            return self._quantize(latents.float(), levels, shared)

    def _quantize(self, latents: Tensor, levels: Tensor | None, shared: Tensor | None) -> Quantized:
        batch, frames, width = latents.shape
        flat = latents.reshape(-1, width)
        residuals, codes, codewords = [flat], [], []
        for level in range(self.config.levels):
            index = nearest(residuals[-1].detach(), self.codebooks[level])
            codeword = self.codebooks[level][index]
            # Without the detach every level after the first gets no commitment gradient (facebookresearch/encodec#25).
            last = residuals[-1]
            step = codeword if self.config.detach_residual else last + (codeword - last).detach()
            residuals.append(last - step)
            codes.append(index)
            codewords.append(codeword)
        codes, shape = torch.stack(codes), (batch, frames)
        if levels is None:
            levels = torch.full((batch,), self.config.levels, device=latents.device)
        used = levels.repeat_interleave(frames)
        if shared is not None:
            errors = torch.stack([residual.detach().square().sum(1) for residual in residuals])
            chosen = depths(errors.unflatten(1, shape).movedim(0, 2), levels).flatten()
            used = torch.where(shared.repeat_interleave(frames), chosen, used)
        total, loss = torch.zeros_like(flat), flat.new_zeros(())
        for level, (residual, codeword) in enumerate(zip(residuals[:-1], codewords, strict=True)):
            active = (level < used).unsqueeze(1).float()
            loss = loss + self._loss(residual, codeword, active)
            total = total + codeword * active
            if self.training:
                self._move(level, residual.detach(), codes[level], active)
        loss = loss / self.config.levels
        if self.config.loss_clamp is not None:
            loss = distributed.clamp_mean(loss, self.config.loss_clamp)
        straight_through = flat + (total - flat).detach()
        return Quantized(straight_through.view_as(latents), codes.unflatten(1, shape).transpose(0, 1), loss)

    def _loss(self, residual: Tensor, codeword: Tensor, active: Tensor) -> Tensor:
        if self.config.commitment == "codebook":
            residual = residual.detach()
        error = (residual - codeword).square() * active
        # The number of vectors differs between ranks; with its mean their mean loss is that of the whole batch.
        vectors = distributed.mean(active.sum()) if self.training else active.sum()
        return error.sum() / (vectors * residual.shape[1]).clamp(min=1)

    @torch.no_grad()
    def _move(self, level: int, residual: Tensor, index: Tensor, active: Tensor) -> None:
        codeword = self.codebooks[level][index]
        target = residual if self.config.ema_target == "residual" else codeword
        counts = torch.zeros_like(self.usage[level]).index_add_(0, index, active[:, 0])
        sums = torch.zeros_like(self.sums[level]).index_add_(0, index, target * active)
        shared = distributed.total(torch.cat([counts.unsqueeze(1), sums], dim=1))
        counts, sums = shared[:, 0], shared[:, 1:]
        total = counts.sum()
        if total == 0:  # no item of this batch uses the level
            return
        keep, learn = self.config.ema_decay, 1 - self.config.ema_decay
        usage = self.usage[level].mul_(keep).add_(counts / total, alpha=learn)
        moved = self.sums[level].mul_(keep).add_(sums / total, alpha=learn)
        fair = 1 / self.config.size
        # Drawn whether or not a codeword is dead, so that the random stream does not depend on the data.
        drawn = torch.randint(len(residual) * distributed.ranks(), (self.config.size,), device="cpu")
        length = residual.norm(dim=1, keepdim=True)
        beside = torch.cat([torch.lerp(codeword, residual, SPLIT), length], dim=1)
        beside = distributed.rows(beside, drawn.to(residual.device))
        loud = beside[:, -1] >= self.config.dead_code_floor * distributed.mean(length.mean())
        dead = (usage < self.config.dead_code_share * fair) & loud
        usage[dead] = fair
        moved[dead] = beside[dead, :-1] * fair
        alive = usage > 0
        self.codebooks[level][alive] = moved[alive] / usage[alive].unsqueeze(1)

    @torch.no_grad()
    def encode(self, latents: Tensor, levels: int | None = None) -> Tensor:
        """Latents [batch, frames, latent] to codes [batch, levels, frames] by beam search.

        Of every frame the `beam` best partial sums are kept from level to level (beam 1 is the greedy search). The codes
        of `n` levels are in general not the first `n` of the codes of more levels.
        Source: beam search over the stages, arXiv 2509.19186.
        """
        with full_float32(latents.device):
            return self._search(latents.float(), self.config.levels if levels is None else levels)

    def _search(self, latents: Tensor, levels: int) -> Tensor:
        batch, frames, width = latents.shape
        residuals = latents.reshape(-1, 1, width)
        codes = torch.zeros(len(residuals), 1, 0, dtype=torch.int64, device=latents.device)
        for level in range(levels):
            codebook = self.codebooks[level]
            beam = residuals.shape[1]
            error = residuals.square().sum(2, keepdim=True) + _relative_distance(residuals, codebook)
            keep = 1 if level == levels - 1 else min(self.config.beam, beam * self.config.size)
            best = error.flatten(1).topk(keep, dim=1, largest=False).indices
            parent, index = best // self.config.size, best % self.config.size
            residuals = residuals.gather(1, parent.unsqueeze(2).expand(-1, -1, width)) - codebook[index]
            history = codes.gather(1, parent.unsqueeze(2).expand(-1, -1, level))
            codes = torch.cat([history, index.unsqueeze(2)], dim=2)
        return codes[:, 0].view(batch, frames, levels).transpose(1, 2)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [batch, levels, frames] to latents [batch, frames, latent]; any number of levels, -1 where there is none."""
        return self.decode_prefixes(codes)[-1]

    def decode_prefixes(self, codes: Tensor) -> Tensor:
        """The latents [levels, batch, frames, latent] of the first 1, 2, ... levels in codes [batch, levels, frames]."""
        there = (codes >= 0).unsqueeze(3)
        codewords = [
            self.codebooks[level][codes[:, level].clamp(min=0)] * there[:, level] for level in range(codes.shape[1])
        ]
        return torch.stack(codewords).cumsum(0)

    def errors(self, latents: Tensor, codes: Tensor) -> Tensor:
        """Squared error [batch, frames, levels + 1] of latents coded with the first 0, 1, ... levels of codes."""
        prefixes = torch.cat([torch.zeros_like(latents)[None], self.decode_prefixes(codes)])
        return (prefixes - latents).square().sum(3).movedim(0, 2)


def _relative_distance(points: Tensor, codebook: Tensor) -> Tensor:
    """Squared distance [..., codewords] of points [..., latent], less the points' own squared norm."""
    return codebook.square().sum(1) - 2 * points @ codebook.t()


def depths(errors: Tensor, mean_levels: Tensor) -> Tensor:
    """How many levels each frame uses [batch, frames]: the next levels go where each takes away most of what is heard.

    Error counts over the square root of the frame's energy, between that of waveforms and that of loudness. A level that helps
    little by itself counts with those after it, by the convex hull of errors over levels (Shoham and Gersho, "Efficient bit
    allocation for an arbitrary set of quantizers", IEEE TASSP 36, 1988).

    Args:
        errors: [batch, frames, levels + 1] squared error with 0, 1, ... levels; with 0 it is the frame's energy.
        mean_levels: [batch], over the frames of an item; met as nearly as frames allow.
    """
    energy = errors[..., :1]
    heard = errors / (energy + QUIET * energy.mean(1, keepdim=True) + 1e-12).sqrt()
    number = torch.arange(errors.shape[2], device=errors.device, dtype=errors.dtype)
    apart = number - number[:, None]
    slopes = (heard[..., :, None] - heard[..., None, :]) / apart  # [..., from, to]
    slopes = slopes.masked_fill(apart <= 0, -torch.inf)
    furthest = slopes.flip(3).cummax(3).values.flip(3)  # the best way on from a level to this one or a later one
    gains = furthest.cummin(2).values.diagonal(1, 2, 3)  # of each level, never more than of those before it
    count = (mean_levels * errors.shape[1]).round().long().clamp(0, gains[0].numel())
    least = gains.flatten(1).sort(1, descending=True).values.gather(1, (count[:, None] - 1).clamp(min=0))
    return ((gains >= least[..., None]) & (gains > 0) & (count[:, None, None] > 0)).sum(2)


def nearest(points: Tensor, codebook: Tensor) -> Tensor:
    """Index [count] of the codeword nearest to each of points [count, latent], in portions that stay in the cache."""
    return torch.cat([_relative_distance(portion, codebook).argmin(1) for portion in points.split(2048)])


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

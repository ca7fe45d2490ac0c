"""Residual vector quantisation: k-means start, exponential moving averages, replacement of dead codewords."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from telucodec.networks import distributed
from telucodec.networks.precision import full_float32
from telucodec.networks.tokens.depths import depths
from telucodec.networks.tokens.kmeans import kmeans, nearest, relative_distance

SPLIT = 0.1  # how far, from a codeword towards a residual, a second codeword for the cell is placed
APART = 0.1  # of the distance between them: how far new codewords are scattered


@dataclass(frozen=True)
class QuantizerConfig:
    """Settings of a residual vector quantiser; params.yaml documents each one."""

    num_codebooks: int
    codebook_size: int
    init: Literal["kmeans", "normal"]
    init_scale: float
    ema_decay: float
    ema_target: Literal["residual", "quantized"]
    commitment: Literal["encoder", "codebook"]
    loss_clamp: float | None
    detach_residual: bool
    dead_code_share: float
    dead_code_floor: float
    dropout: float
    shared: float
    beam: int


class Quantized(NamedTuple):
    """The output of `ResidualVQ.forward`."""

    latents: Tensor  # [batch, frames, latent_dim], with a straight-through gradient
    codes: Tensor  # [batch, codebooks, frames], int64; also filled in for codebooks that an item does not use
    used: Tensor  # [batch, frames], how many codebooks count
    loss: Tensor  # scalar


class ResidualVQ(nn.Module):
    """Residual vector quantiser for latents [batch, frames, latent_dim].

    Each codebook codes the residual of the codebooks before it. Distances and moving averages are always float32, even
    under autocast. Codewords follow the moving average of the residuals assigned to them (van den Oord et al., arXiv
    1711.00937).

    A codeword is dead when it receives less than `dead_code_share` of its fair share of residuals. It then splits the
    cell of another codeword (Linde, Buzo and Gray, "An algorithm for vector quantizer design", IEEE Trans.
    Communications 28, 1980): it moves next to the codeword of a random residual of the batch and starts with a fair
    share of usage. At the residual itself it would soon be dead again, because in many dimensions other residuals lie
    no nearer to that residual than to their own codeword. Residuals that are shorter than `dead_code_floor` of the mean, or
    nearer to their codeword, split no cell: they stem from pauses, which are many and nearly equal, so that further codewords for
    them would be wasted.

    The straight-through gradient is taken once, around all codebooks. In data-parallel training, all ranks must call
    `forward` together, because the averages are those of the whole batch.
    """

    codebooks: Tensor  # [num_codebooks, codebook_size, latent_dim]
    usage: Tensor  # [num_codebooks, codebook_size], moving share of the residuals assigned to each codeword
    sums: Tensor  # [num_codebooks, codebook_size, latent_dim], moving sum of these residuals
    apart: Tensor  # [codebook_size, latent_dim], a direction for each codeword

    def __init__(self, config: QuantizerConfig, latent_dim: int):
        super().__init__()
        self.config = config
        shape = config.num_codebooks, config.codebook_size, latent_dim
        self.register_buffer("codebooks", torch.randn(shape) * config.init_scale)
        self.register_buffer("usage", torch.empty(shape[:2]))
        self.register_buffer("sums", torch.empty(shape))
        directions = torch.randn(shape[1:], generator=torch.Generator().manual_seed(0)) * latent_dim**-0.5
        self.register_buffer("apart", directions, persistent=False)
        self.restart()

    @torch.no_grad()
    def fit(self, latents: Tensor, iterations: int = 6) -> None:
        """Initialise the codebooks by k-means, each on the residual of those before it.

        Args:
            latents: [count, latent_dim], several times as many as codewords.
            iterations: of k-means.

        Raises:
            ValueError: fewer latents than codewords.
        """
        residual = latents.float()
        for number in range(self.config.num_codebooks):
            codebook = kmeans(residual, self.config.codebook_size, iterations)
            self.codebooks[number] = codebook
            codes = nearest(residual, codebook)
            counts = torch.bincount(codes, minlength=self.config.codebook_size).float()
            self.usage[number] = counts / len(codes)
            self.sums[number] = codebook * self.usage[number, :, None]
            residual = residual - codebook[codes]

    @torch.no_grad()
    def restart(self) -> None:
        """Restart the moving averages, with a fair share of usage for every codeword."""
        self.usage.fill_(1 / self.config.codebook_size)
        self.sums.copy_(self.codebooks / self.config.codebook_size)

    def forward(
        self,
        latents: Tensor,
        num_codebooks: Tensor | None = None,
        shared: Tensor | None = None,
        absent: Tensor | None = None,
    ) -> Quantized:
        """Quantise greedily; in training mode, also move the codebooks.

        Args:
            latents: [batch, frames, latent_dim].
            num_codebooks: [batch], how many codebooks each item uses; None: all.
            shared: [batch] bool, items for which that number is only the mean over frames, distributed by `depths`;
                None: no item.
            absent: [latent_dim], what stands for a frame of those items that uses no codebook; None: zeros.
        """
        if absent is None:
            absent = latents.new_zeros(latents.shape[2])
        with full_float32(latents.device):
            return self._quantize(latents.float(), num_codebooks, shared, absent.float())

    def _quantize(
        self, latents: Tensor, num_codebooks: Tensor | None, shared: Tensor | None, absent: Tensor
    ) -> Quantized:
        batch, frames, latent_dim = latents.shape
        flat = latents.reshape(-1, latent_dim)
        residuals, indices, codewords = [flat], [], []
        for codebook in self.codebooks:
            last = residuals[-1]
            index = nearest(last.detach(), codebook)
            codeword = codebook[index]
            # Without the detach, no codebook after the first has a commitment gradient (facebookresearch/encodec#25).
            step = codeword if self.config.detach_residual else last + (codeword - last).detach()
            residuals.append(last - step)
            indices.append(index)
            codewords.append(codeword)
        codes = torch.stack(indices).unflatten(1, (batch, frames))
        if num_codebooks is None:
            num_codebooks = torch.full((batch,), self.config.num_codebooks, device=latents.device)
        used = num_codebooks.repeat_interleave(frames)
        total, loss = torch.zeros_like(flat), flat.new_zeros(())
        if shared is not None:
            left = [flat - absent, *residuals[1:]]
            errors = torch.stack([error.detach().square().sum(1) for error in left])
            per_frame = depths(errors.unflatten(1, (batch, frames)).movedim(0, 2), num_codebooks).flatten()
            of_shared = shared.repeat_interleave(frames)
            used = torch.where(of_shared, per_frame, used)
            total = torch.where((of_shared & (used == 0))[:, None], absent, total)
        for number, (residual, codeword) in enumerate(zip(residuals[:-1], codewords, strict=True)):
            active = (number < used).unsqueeze(1).float()
            loss = loss + self._loss(residual, codeword, active)
            total = total + codeword * active
            if self.training:
                self._move(number, residual.detach(), indices[number], active)
        loss = loss / self.config.num_codebooks
        if self.config.loss_clamp is not None:
            loss = distributed.clamp_mean(loss, self.config.loss_clamp)
        straight_through = flat + (total - flat).detach()
        return Quantized(straight_through.view_as(latents), codes.transpose(0, 1), used.view(batch, frames), loss)

    def _loss(self, residual: Tensor, codeword: Tensor, active: Tensor) -> Tensor:
        if self.config.commitment == "codebook":
            residual = residual.detach()
        error = (residual - codeword).square() * active
        # The number of vectors differs between ranks. Dividing by its mean makes the ranks' mean loss that of the batch.
        vectors = distributed.mean(active.sum()) if self.training else active.sum()
        return error.sum() / (vectors * residual.shape[1]).clamp(min=1)

    @torch.no_grad()
    def _move(self, number: int, residual: Tensor, index: Tensor, active: Tensor) -> None:
        """Move codebook `number` towards residuals [count, latent_dim], given their codewords `index` [count].

        `active` [count, 1] is 1 where the codebook is in use, else 0.
        """
        codeword = self.codebooks[number][index]
        target = residual if self.config.ema_target == "residual" else codeword
        counts = torch.zeros_like(self.usage[number]).index_add_(0, index, active[:, 0])
        sums = torch.zeros_like(self.sums[number]).index_add_(0, index, target * active)
        both = distributed.total(torch.cat([counts.unsqueeze(1), sums], dim=1))
        counts, sums = both[:, 0], both[:, 1:]
        total = counts.sum()
        # No item of this batch uses the codebook. A GPU is not asked, because the CPU would have to wait for it: there all
        # averages of the codebook fade alike, which moves no codeword.
        if not total.is_cuda and total == 0:
            return
        total = total.clamp(min=1)
        keep, learn = self.config.ema_decay, 1 - self.config.ema_decay
        usage = self.usage[number].mul_(keep).add_(counts / total, alpha=learn)
        moved = self.sums[number].mul_(keep).add_(sums / total, alpha=learn)
        fair = 1 / self.config.codebook_size
        # Drawn even if no codeword is dead, so that the random stream does not depend on the data.
        drawn = torch.randint(len(residual) * distributed.ranks(), (self.config.codebook_size,), device="cpu")
        # Of each residual its length and its distance from its codeword: beside one that it equals is no place for another.
        lengths = torch.stack([residual.norm(dim=1), (residual - codeword).norm(dim=1)], dim=1)
        beside = torch.cat([torch.lerp(codeword, residual, SPLIT), lengths], dim=1)
        beside = distributed.rows(beside, drawn.to(residual.device))
        far = (beside[:, -2:] >= self.config.dead_code_floor * distributed.mean(lengths.mean(0))).all(1)
        dead = (usage < self.config.dead_code_share * fair) & far
        # Several may have drawn the same residual; the same place would make them copies for ever.
        places = beside[:, :-2] + APART * beside[:, -1:] * self.apart
        # Selected with `where`: to index with a mask, the CPU would have to wait for a GPU.
        usage.masked_fill_(dead, fair)
        moved.copy_(torch.where(dead.unsqueeze(1), places * fair, moved))
        alive = (usage > 0).unsqueeze(1)
        self.codebooks[number] = torch.where(alive, moved / usage.unsqueeze(1), self.codebooks[number])

    @torch.no_grad()
    def encode(self, latents: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Latents [batch, frames, latent_dim] to codes [batch, codebooks, frames] by beam search; None: all codebooks.

        For each frame, the `beam` best partial sums are kept from codebook to codebook; a beam of 1 is the greedy search.
        The codes of `n` codebooks are in general not the first `n` of the codes of more codebooks.
        Source: beam search over the stages, arXiv 2509.19186.
        """
        with full_float32(latents.device):
            return self._search(latents.float(), self.config.num_codebooks if num_codebooks is None else num_codebooks)

    def _search(self, latents: Tensor, num_codebooks: int) -> Tensor:
        batch, frames, latent_dim = latents.shape
        residuals = latents.reshape(-1, 1, latent_dim)
        codes = torch.zeros(len(residuals), 1, 0, dtype=torch.int64, device=latents.device)
        for number in range(num_codebooks):
            codebook = self.codebooks[number]
            beam = residuals.shape[1]
            error = residuals.square().sum(2, keepdim=True) + relative_distance(residuals, codebook)
            keep = 1 if number == num_codebooks - 1 else min(self.config.beam, beam * self.config.codebook_size)
            best = error.flatten(1).topk(keep, dim=1, largest=False).indices
            parent, index = best // self.config.codebook_size, best % self.config.codebook_size
            residuals = residuals.gather(1, parent.unsqueeze(2).expand(-1, -1, latent_dim)) - codebook[index]
            history = codes.gather(1, parent.unsqueeze(2).expand(-1, -1, number))
            codes = torch.cat([history, index.unsqueeze(2)], dim=2)
        return codes[:, 0].view(batch, frames, num_codebooks).transpose(1, 2)


def sums(codebooks: Tensor, codes: Tensor) -> Tensor:
    """Latents [codebooks, batch, frames, dim] from the first 1, 2, ... codebooks of codes [batch, codebooks, frames].

    `codebooks` is [num_codebooks, codebook_size, dim]; -1 stands for no codeword.
    """
    present = (codes >= 0).unsqueeze(3)
    codewords = [
        codebook[codes[:, number].clamp(min=0)] * present[:, number]
        for number, codebook in enumerate(codebooks[: codes.shape[1]])
    ]
    return torch.stack(codewords).cumsum(0)

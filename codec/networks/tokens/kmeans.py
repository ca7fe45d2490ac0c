"""Nearest codewords, and k-means."""

import torch
from torch import Tensor


def relative_distance(points: Tensor, codebook: Tensor) -> Tensor:
    """Squared distances [..., codewords] of points [..., latent_dim], minus the squared norms of the points."""
    return codebook.square().sum(1) - 2 * points @ codebook.t()


def nearest(points: Tensor, codebook: Tensor) -> Tensor:
    """The index [count] of the codeword nearest to each of the points [count, latent_dim]."""
    # In portions: on a CPU they fit into the cache, on a GPU each is large enough to fill it.
    portions = points.split(2**16 if points.is_cuda else 2048)
    return torch.cat([relative_distance(portion, codebook).argmin(1) for portion in portions])


def kmeans(points: Tensor, size: int, iterations: int) -> Tensor:
    """Lloyd's algorithm, started at random points. An empty cluster restarts at a random point.

    Args:
        points: [count, latent_dim].
        size: number of clusters.
        iterations: of the algorithm.

    Returns:
        Centres [size, latent_dim].

    Raises:
        ValueError: fewer points than clusters.
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

"""Sums and shares over the ranks of a data-parallel run. In a single process every function hands back what it is given.

A batch is parted among the ranks in order, so rank 0 has its beginning. What is summed here, each rank gets to the same bit.
"""

import torch
import torch.distributed as torch_distributed
from torch import Tensor


def ranks() -> int:
    """How many processes train together."""
    return torch_distributed.get_world_size() if _joined() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return torch_distributed.get_rank() if _joined() else 0


def _joined() -> bool:
    return torch_distributed.is_available() and torch_distributed.is_initialized()


def share(batch):
    """This rank's part of a tensor or array, along its first dimension, which is a multiple of the number of ranks."""
    size = len(batch) // ranks()
    return batch[rank() * size : (rank() + 1) * size]


def total(values: Tensor) -> Tensor:
    """The sum over ranks."""
    if ranks() == 1:
        return values
    values = values.detach().clone()
    torch_distributed.all_reduce(values)
    return values


def mean(values: Tensor) -> Tensor:
    """The mean over ranks."""
    return values if ranks() == 1 else total(values) / ranks()


def rows(part: Tensor, index: Tensor) -> Tensor:
    """The rows at `index` [count] of the table that the ranks' parts [rows, width], equally long, make together."""
    if ranks() == 1:
        return part[index]
    mine = (index // len(part) == rank()).unsqueeze(1)
    return total(torch.where(mine, part[index % len(part)], 0))


def clamp_mean(value: Tensor, maximum: float) -> Tensor:
    """`value`, a rank's mean over its items, where the mean over all ranks is at most `maximum`, else that and no gradient.

    To clamp each rank's own mean would give other gradients than to clamp that of the whole batch.
    """
    return torch.where(mean(value.detach()) > maximum, torch.full_like(value, maximum), value)


def first(value: object = None) -> object:
    """What rank 0 calls this with."""
    if ranks() == 1:
        return value
    box = [value]
    torch_distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]

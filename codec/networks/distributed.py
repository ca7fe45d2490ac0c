"""Sums, means and slices over the ranks of a data-parallel run. In a single process, each function returns its argument.

A batch is split among the ranks in order, so rank 0 holds its start. Every rank receives bit-identical sums.
"""

from typing import TypeVar

import numpy as np
import torch
import torch.distributed as torch_distributed
from torch import Tensor

Batch = TypeVar("Batch", Tensor, np.ndarray)
Value = TypeVar("Value")


def ranks() -> int:
    """The number of processes that train together."""
    return torch_distributed.get_world_size() if _initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return torch_distributed.get_rank() if _initialized() else 0


def _initialized() -> bool:
    return torch_distributed.is_available() and torch_distributed.is_initialized()


def share(batch: Batch) -> Batch:
    """This rank's slice of a batch along the first dimension, which must be a multiple of the number of ranks."""
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
    """The rows at `index` [count] of the table formed by all ranks' parts [rows, width] in order.

    The parts must have the same number of rows.
    """
    if ranks() == 1:
        return part[index]
    mine = (index // len(part) == rank()).unsqueeze(1)
    return total(torch.where(mine, part[index % len(part)], 0))


def clamp_mean(value: Tensor, maximum: float) -> Tensor:
    """`value`, or `maximum` without a gradient where the mean of `value` over all ranks exceeds `maximum`.

    `value` is the mean over this rank's items. Clamping it on each rank separately would give other gradients than
    clamping the mean of the whole batch.
    """
    return torch.where(mean(value.detach()) > maximum, torch.full_like(value, maximum), value)


def first(value: Value) -> Value:
    """The argument that rank 0 passes."""
    if ranks() == 1:
        return value
    box = [value]
    torch_distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]

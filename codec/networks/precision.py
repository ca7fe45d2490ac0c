"""Full float32 precision where rounding would change results: codeword distances, moving averages, transforms, logarithms."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Disable autocast and, on CUDA, TF32 matrix products inside the block."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed

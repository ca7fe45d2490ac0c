"""Where training runs, and how it stays reproducible."""

import contextlib
import os
from collections.abc import Iterator

import torch

from pipeline.common.stage import StageError
from pipeline.training.data_parallel import local_rank


def choose(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; in data-parallel training each process has a GPU of its own.

    Raises:
        StageError: there is no CUDA device, or there are fewer than processes.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise StageError("train.device is cuda, but PyTorch sees no CUDA device here; use -S train.device=auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number, available = local_rank(), torch.cuda.device_count()
    if number >= available:
        raise StageError(f"process {number + 1} has no GPU: there are {available}; lower train.processes")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


@contextlib.contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Settings of PyTorch under which two runs with equal inputs and threads are equal to the bit."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling uninitialised memory takes time, and nothing reads it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_float32_matmul_precision("high")  # TF32 on CUDA, no change on a CPU
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # denormal numbers slow a processor down many times
    try:
        yield
    finally:
        torch.set_flush_denormal(False)

"""The machine that training runs on: is there a GPU that works, and what exactly is it?"""

import os
import platform
import subprocess

import torch

from pipeline.common.stage import StageError

OPTIONAL = "TELUCODEC_GPU_OPTIONAL"  # environment variable: 1 allows a machine without a GPU


def describe() -> dict[str, object]:
    """Processor, GPU and versions, after a small computation on the GPU.

    Raises:
        StageError: PyTorch sees no GPU or cannot use it, and the environment does not allow training without one.
    """
    about: dict[str, object] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)),
    }
    if not torch.cuda.is_available():
        if os.environ.get(OPTIONAL) != "1":
            raise StageError(f"PyTorch {torch.__version__} sees no GPU here; {OPTIONAL}=1 goes on with the processor")
        return {"gpu": None, **about}
    try:
        # No matrix product: cuBLAS must not start before `pipeline.training.device.reproducible` has configured it.
        works = float(torch.ones(64, device="cuda").sum()) == 64
    except RuntimeError as error:
        raise StageError(f"the GPU cannot be used: {error}") from None
    if not works:
        raise StageError("the GPU computes wrong results")
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "gpu_gib": properties.total_memory / 2**30,
        "multiprocessors": properties.multi_processor_count,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        **about,
    }


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return None

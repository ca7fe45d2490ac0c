"""The Python packages that training needs and that an image with PyTorch and NumPy lacks, as wheels."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from pipeline.common.stage import StageError

PYTHON = "3.12"
# What training and its checks import, and what that needs in turn: tests/pipeline/gpu trains with nothing else beside PyTorch.
DISTRIBUTIONS = (
    "annotated-types",
    "cffi",
    "psutil",
    "pycparser",
    "pydantic",
    "pydantic-core",
    "ruamel.yaml",
    "safetensors",
    "soundfile",
    "tqdm",
    "typing-extensions",
    "typing-inspection",
)
IN_THE_IMAGE = "numpy", "torch"
# pip compares these names exactly. The glibc of the image must be 2.28 or newer.
PLATFORMS = "manylinux1", "manylinux2010", "manylinux2014", *(f"manylinux_2_{minor}" for minor in range(5, 29))


def collect(folder: Path) -> None:
    """Download the wheels for x86-64 Linux and Python 3.12 into `folder`, in the versions that are installed here.

    Raises:
        StageError: pip cannot download one of them.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "--dest", str(folder)]
    for platform in PLATFORMS:
        command += ["--platform", f"{platform}_x86_64"]
    command += [f"{name}=={version(name)}" for name in DISTRIBUTIONS]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        reason = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise StageError(f"the wheels cannot be downloaded ({reason}); this step needs a package registry")

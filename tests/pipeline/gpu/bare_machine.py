"""A machine like a rented one: Python with PyTorch, NumPy and pip, and nothing else of this project."""

import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from pipeline.gpu import wheels

PLATFORM = Path(sysconfig.get_paths()["purelib"])


def make(folder: Path) -> Path:
    """A new virtual environment that holds links to the installed PyTorch and NumPy; returns its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for name in with_requirements([*wheels.IN_THE_IMAGE, "pip"]):
        for place in top_level(name):
            (packages / place).symlink_to(PLATFORM / place)
    return folder / "bin" / "python"


def with_requirements(names: list[str]) -> set[str]:
    """Distributions, and all that they need."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names += needed(name)
    return found


def needed(name: str) -> list[str]:
    """The installed distributions that one needs, extras aside."""
    requirements = [
        text for text in distribution(name).requires or [] if "extra ==" not in text and "Windows" not in text
    ]
    names = [re.match(r"[\w.-]+", text)[0].lower().replace("_", "-") for text in requirements]
    return [
        name for name in names if (PLATFORM / name).exists() or list(PLATFORM.glob(f"{_file_name(name)}-*.dist-info"))
    ]


def top_level(name: str) -> set[str]:
    return {file.parts[0] for file in distribution(name).files} - {"..", "__pycache__"}


def pack_installed(folder: Path) -> None:
    """In place of `wheels.collect`: wheels for this interpreter, made of what is installed, without a network."""
    folder.mkdir()
    for name in wheels.DISTRIBUTIONS:
        found = distribution(name)
        tag = re.findall(r"^Tag: (\S+)", found.read_text("WHEEL"), re.MULTILINE)[
            -1
        ]  # the first may be that of Python 2
        with zipfile.ZipFile(folder / f"{_file_name(name)}-{found.version}-{tag}.whl", "w") as archive:
            for file in found.files:
                if file.parts[0] != ".." and file.suffix != ".pyc":
                    archive.write(file.locate(), str(file))


def _file_name(name: str) -> str:
    return re.sub(r"[-.]+", "_", name)

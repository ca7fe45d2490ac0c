import subprocess
import sys

import pytest

STAND_INS = """
import importlib.abc, importlib.machinery, sys

class Broken(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            raise {error}
sys.meta_path.insert(0, Broken())
from telucodec.networks.torchaudio_import import import_torchaudio
"""


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def test_the_installed_torchaudio_is_imported():
    done = run(
        "from telucodec.networks.torchaudio_import import import_torchaudio\n"
        "print(import_torchaudio().functional.melscale_fbanks(257, 0.0, 8000.0, 40, 16000).shape)"
    )
    assert done.stdout.strip() == "torch.Size([257, 40])", done.stderr


def test_torchaudio_is_imported_without_an_extension_that_needs_cuda():
    prefix = STAND_INS.format(name="torchaudio._extension", error="OSError('libcudart.so.13: cannot open')")
    done = run(prefix + "print(import_torchaudio().functional.resample)")
    assert done.stdout.startswith("<function resample"), done.stderr


@pytest.mark.parametrize(
    "error", ["ModuleNotFoundError('No module named torchaudio')", "ImportError('built for torch 1')"]
)
def test_a_missing_or_mismatched_torchaudio_is_an_import_error(error):
    done = run(STAND_INS.format(name="torchaudio", error=error) + "import_torchaudio()")
    assert (done.returncode != 0 and "ImportError" in done.stderr) or "ModuleNotFoundError" in done.stderr

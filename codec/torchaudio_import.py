"""torchaudio, also beside a CPU-only PyTorch.

The stock Linux wheel of torchaudio links CUDA libraries for its compiled extension, so `import torchaudio` fails with an
OSError beside a PyTorch built without CUDA. TeluCodec needs only its Python parts; with the extension marked as absent
they import.
"""

import importlib
import sys
import types


def import_torchaudio() -> types.ModuleType:
    """The torchaudio package.

    Raises:
        ImportError: torchaudio is missing, or does not fit the PyTorch beside it; the message says what to install.
    """
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        _forget()
        absent = types.ModuleType("torchaudio._extension")
        absent._IS_TORCHAUDIO_EXT_AVAILABLE = False
        absent.fail_if_no_align = lambda function: function
        sys.modules["torchaudio._extension"] = absent
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError, AttributeError) as error:
        _forget()
        raise ImportError(
            f"torchaudio does not import beside this PyTorch ({error}); install the pair named in constraints.txt"
        ) from error


def _forget() -> None:
    for name in [name for name in sys.modules if name == "torchaudio" or name.startswith("torchaudio.")]:
        del sys.modules[name]

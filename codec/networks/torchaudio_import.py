"""Import torchaudio, even next to a CPU-only PyTorch.

The compiled extension in the default Linux wheel of torchaudio links against CUDA libraries. Next to a PyTorch built
without CUDA, `import torchaudio` therefore fails with an OSError. TeluCodec needs only the Python parts of torchaudio,
which import once the extension is marked as absent.
"""

import importlib
import sys
import types


def import_torchaudio() -> types.ModuleType:
    """The torchaudio package.

    Raises:
        ImportError: torchaudio is missing or does not match the installed PyTorch; the message says what to install.
    """
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        _forget()
        absent = types.ModuleType("torchaudio._extension")
        vars(absent).update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=lambda function: function)
        sys.modules["torchaudio._extension"] = absent
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError, AttributeError) as error:
        _forget()
        raise ImportError(
            f"torchaudio cannot be imported next to this PyTorch ({error}); install the pair of versions in constraints.txt"
        ) from error


def _forget() -> None:
    """Remove what a failed import left in `sys.modules`."""
    for name in [name for name in sys.modules if name == "torchaudio" or name.startswith("torchaudio.")]:
        del sys.modules[name]

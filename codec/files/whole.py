"""Files that are written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def is_special(path: Path | str) -> bool:
    """Whether a device or a pipe lies there, which is written to and never replaced by a file."""
    return Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` if the block ends without an exception.

    Raises:
        OSError: nothing can be written there; it names the folder that is missing, or else `path`.
    """
    # A name may fill the 255 bytes that a file system allows, so this one has only its beginning.
    suffix = path.suffix if len(path.suffix) < 10 else ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:20]}.", suffix=suffix, dir=path.parent)
    except FileNotFoundError as error:
        raise FileNotFoundError(error.errno, "no such folder; make it first", str(path.parent)) from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

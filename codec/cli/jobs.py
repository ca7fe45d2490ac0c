"""Inputs and outputs of commands that turn files into files."""

import argparse
import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from telucodec.errors import AudioError, AudioWarning, CodecError, OutOfReachWarning
from telucodec.files.whole import is_special, whole_file

if TYPE_CHECKING:
    import numpy as np

    from telucodec.audio.spool import Spool


def jobs(options: argparse.Namespace, suffix: str) -> dict[str, str]:
    """The output of each input; nothing is written unless all of them are possible.

    Raises:
        CodecError: an output exists, two would be the same, or there is none to write to.
    """
    inputs, output = options.inputs, options.output
    folder = output is not None and output != "-" and (Path(output).is_dir() or output.endswith("/"))
    if len(inputs) > 1 and output is not None and not folder:
        raise CodecError(
            f"{len(inputs)} inputs need a folder as output, and {output!r} is not one; end its name with /"
        )
    targets: list[str] = []
    for source in inputs:
        if output is not None and not folder:
            target = output
        elif is_stream(source):
            if output is None:
                what = "standard input" if source == "-" else source
                raise CodecError(f"{what} needs an output: -o FILE, or -o - for standard output")
            target = str(Path(output) / f"stdin{suffix}")
        else:
            target = str((Path(output) if folder else Path(source).parent) / f"{Path(source).stem}{suffix}")
        if target in targets:
            raise CodecError(f"two inputs would both be written to {target}")
        if target != "-" and Path(target).exists() and not is_special(target) and not options.force:
            raise CodecError(f"{target} exists; --force overwrites it")
        targets.append(target)
    if folder:
        Path(output).mkdir(parents=True, exist_ok=True)
    return dict(zip(inputs, targets, strict=True))


def each(sources: list[str], work: Callable[[str], None], fail_fast: bool) -> None:
    """Do the work for each input, with a progress bar on a terminal when there are several.

    Warnings go to standard error. A bad input does not stop the others, unless `fail_fast`.

    Raises:
        CodecError: inputs were bad; the message names them and the reasons.
    """
    faults = []
    for source in _with_progress(sources):
        try:
            with warnings_of(f"telucodec: {source}"), named(source):
                work(source)
        except CodecError as error:
            if fail_fast or len(sources) == 1:
                raise
            faults.append(str(error))
    if faults:
        done = len(sources) - len(faults)
        raise CodecError(f"{done} of {len(sources)} inputs done; the others are bad:\n  " + "\n  ".join(faults))


@contextlib.contextmanager
def warnings_of(beginning: str) -> Iterator[None]:
    """Warnings inside the block go to standard error, one line each."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"{beginning}: {message}", file=sys.stderr)
        for category in (AudioWarning, OutOfReachWarning):
            warnings.simplefilter("always", category)
        yield


def _with_progress(sources: list[str]) -> Iterable[str]:
    if len(sources) < 2 or not sys.stderr.isatty():
        return sources
    from tqdm import tqdm

    return tqdm(sources, unit="file", file=sys.stderr)


@contextlib.contextmanager
def named(source: str) -> Iterator[None]:
    """Errors inside the block name the input."""
    try:
        yield
    except AudioError:  # they do
        raise
    except CodecError as error:
        raise CodecError(f"{source}: {error}") from error
    except OSError as error:
        raise CodecError(f"{error.filename or source}: {error.strerror or error}") from error


def is_stream(source: str) -> bool:
    """Whether an input is standard input, or a pipe such as that of `<(command)`: it can be read once and has no folder."""
    return source == "-" or Path(source).is_fifo()


def read_bytes(source: str) -> bytes:
    return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()


def read_audio(source: str, rate: int) -> "np.ndarray":
    """A recording as `telucodec.audio.reading.read` gives it; also from standard input and pipes."""
    from telucodec.audio.reading import read

    return read(_recording(source), rate, _name(source))


def spool_audio(source: str, rate: int) -> "Spool":
    """As `read_audio`, in a file if the recording is long."""
    from telucodec.audio.reading import spooled

    return spooled(_recording(source), rate, _name(source))


def _recording(source: str) -> Path | io.BytesIO:
    return io.BytesIO(read_bytes(source)) if is_stream(source) else Path(source)


def _name(source: str) -> str:
    return "standard input" if source == "-" else source


def write_bytes(target: str, data: bytes) -> None:
    if target == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    elif is_special(target):
        Path(target).write_bytes(data)
    else:
        with whole_file(Path(target)) as temporary:
            temporary.write_bytes(data)

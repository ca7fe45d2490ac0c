"""The one writer of recordings: WAV."""

import contextlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from telucodec.audio.samples import floats, whole_numbers
from telucodec.errors import AudioError, AudioWarning
from telucodec.files.whole import is_special, whole_file


def write_wav(path: Path | str, blocks: Iterable[np.ndarray], rate: int, floating: bool = False) -> None:
    """Blocks [samples], float or int16, as a WAV file at `path` or, for `-`, on standard output.

    An `AudioWarning` says how many samples beyond 1 are clipped.

    Args:
        floating: 32-bit floating point, which holds samples beyond 1; otherwise 16-bit integers.

    Raises:
        AudioError: it cannot be written, or samples are of another type or not finite.
    """
    clipped, total, peak = 0, 0, 0.0

    def write(target: str) -> None:
        nonlocal clipped, total, peak
        with soundfile.SoundFile(
            os.fsencode(target), "w", rate, 1, "FLOAT" if floating else "PCM_16", format="WAV"
        ) as file:
            for block in blocks:
                audio = _audio(block, path)
                clipped += int(np.count_nonzero(np.abs(audio) > 1))
                total, peak = total + len(audio), max(peak, float(np.abs(audio).max(initial=0)))
                file.write(audio if floating else whole_numbers(audio))

    try:
        if str(path) == "-" or is_special(path):
            # A WAV header needs a file in which one can go back.
            with tempfile.NamedTemporaryFile(suffix=".wav") as spool:
                write(spool.name)
                with contextlib.nullcontext(sys.stdout.buffer) if str(path) == "-" else open(path, "wb") as sink:
                    shutil.copyfileobj(spool, sink)
                    sink.flush()
        else:
            with whole_file(Path(path)) as temporary:
                write(str(temporary))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: cannot be written ({error.error_string.rstrip('.')}); is the disk full?") from None
    if clipped and not floating:
        loud = f"{clipped} of {total} samples lie beyond full scale, up to {peak:.2f}, and are clipped"
        warnings.warn(f"{loud}; a floating-point file (--float) keeps them", AudioWarning, stacklevel=2)


def _audio(block: np.ndarray, path: Path | str) -> np.ndarray:
    """Samples with full scale at 1, float32; those of 16 bits come out of `whole_numbers` as they are."""
    if block.dtype != np.int16 and block.dtype.kind != "f":
        raise AudioError(f"{path}: samples must be float or int16, got {block.dtype}")
    if not np.isfinite(block).all():
        raise AudioError(f"{path}: samples that are not finite cannot be written", "not_finite")
    return floats(block).astype(np.float32, copy=False)

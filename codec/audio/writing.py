"""The one writer of recordings: 16-bit WAV."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from telucodec.audio.samples import whole_numbers
from telucodec.errors import AudioError
from telucodec.files.whole import is_special, whole_file


def write_wav(path: Path | str, blocks: Iterable[np.ndarray], rate: int) -> None:
    """Float blocks [samples] as a 16-bit WAV file at `path` or, for `-`, on standard output; values beyond 1 are clipped.

    Raises:
        AudioError: it cannot be written.
    """

    def write(target: str) -> None:
        with soundfile.SoundFile(os.fsencode(target), "w", rate, 1, "PCM_16", format="WAV") as file:
            for block in blocks:
                file.write(whole_numbers(block))

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

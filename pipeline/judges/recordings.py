"""Recordings of a folder, as the tables of judges and of peers take them."""

from pathlib import Path

import numpy as np

from pipeline.judges.judge import SAMPLE_RATE
from telucodec.audio.folders import SUFFIXES, recordings
from telucodec.audio.reading import read
from telucodec.audio.samples import FULL_SCALE
from telucodec.errors import AudioError


class FolderError(ValueError):
    """A folder without recordings, or with one that cannot be read; the message names it."""


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """All recordings below a folder: path without suffix to float32 [samples] at 16 kHz, full scale at 1.

    Raises:
        FolderError: there are none, or one of them cannot be read or is empty.
    """
    paths = recordings(folder)
    if not paths:
        raise FolderError(f"{folder} holds no recordings ({', '.join(sorted(SUFFIXES))})")
    clips = {}
    for path in paths:
        try:
            samples = read(path, SAMPLE_RATE)
        except AudioError as error:
            raise FolderError(f"{path}: {error}") from None
        if not len(samples):
            raise FolderError(f"{path} holds no samples; take it out of the folder")
        clips[path.relative_to(folder).with_suffix("").as_posix()] = samples.astype(np.float32) / FULL_SCALE
    return clips


def fitted(reference: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Decoded audio cut, or continued with silence, to the length of the reference [samples]."""
    return np.pad(decoded, (0, max(0, len(reference) - len(decoded))))[: len(reference)]

"""The recordings of which a dataset is made: files below a folder, and those inside parquet files and tars there."""

import os
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from telucodec.audio import folders, packs
from telucodec.audio.reading import read_with_notes
from telucodec.errors import AudioError, AudioWarning, DatasetError


class Recording(NamedTuple):
    """A recording: its name, which is its path below the folder and `FILE#KEY` inside another file, and where it is."""

    name: str
    file: Path
    key: str | None

    @property
    def source(self) -> Path | BinaryIO:
        """What `telucodec.audio.reading` reads.

        Raises:
            AudioError: it is inside a file that is damaged.
        """
        return packs.source(self.file, self.key)


def find(folder: Path, without: Path | None = None) -> list[Recording]:
    """Recordings below a folder: files sorted by their paths, and what is inside of one in its order.

    Args:
        without: a folder that is left out, if it lies there.

    An `AudioWarning` names archives, which are not looked into.

    Raises:
        DatasetError: there are none, or a folder cannot be listed.
        AudioError: a parquet file or a tar is damaged or holds no audio, or pyarrow is missing.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    try:
        left_out = without and without.absolute()
        files = sorted(file for file in folders.walk(folder) if left_out not in file.absolute().parents)
    except OSError as error:
        raise DatasetError(f"{error.filename}: cannot be listed ({error.strerror})") from None
    found = []
    for file in files:
        path = file.relative_to(folder).as_posix()
        found += [Recording(f"{path}#{key}" if key else path, file, key) for key, _, _ in packs.members(file)]
    archives = packs.unread(files)
    if not found:
        suffixes = ", ".join(sorted({*folders.SUFFIXES, packs.PARQUET, packs.TAR}))
        raise DatasetError(
            f"{folder}: no recordings in it (looked for {suffixes})" + (f". {archives}" if archives else "")
        )
    if archives:
        warnings.warn(archives, AudioWarning, stacklevel=2)
    return found


def read(recording: Recording, rate: int) -> np.ndarray:
    """A recording as int16 [samples] at `rate` Hz, if it is whole and lists can hold its name.

    Raises:
        AudioError: it cannot be read, ends early, is partly damaged, or its name is not UTF-8.
    """
    path = f"{recording.file}#{recording.key}" if recording.key else str(recording.file)
    if not folders.has_utf8_name(path):
        raise AudioError(f"{shown(path)}: its name is not UTF-8, which lists of files are; rename it", "name_not_utf8")
    sound = read_with_notes(recording.source, rate, path)
    if sound.fault:
        raise AudioError(f"{path}: {sound.notes[-1]}", sound.fault)
    return sound.samples


def shown(name: str) -> str:
    """A name that any list can hold."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")

"""The one walk over folders of recordings."""

import os
from collections.abc import Iterator
from pathlib import Path

WORDS = (
    "wav flac mp3 ogg oga opus spx aif aiff aifc au snd caf w64 rf64 sph m4a m4b mp4 mov 3gp aac wma webm mka mkv amr ac3 mp2 "
    "mpc wv tta ape 3g2 3ga asf avi awb dff dsf dts eac3 f4v flv gsm m4r m4v mpeg mpg mts ogv ra rm ts vob voc wmv"
)
SUFFIXES = {f".{word}" for word in WORDS.split()}


def walk(folder: Path) -> Iterator[Path]:
    """The files below a folder, through links, too, in no particular order.

    Hidden files and what macOS puts into archives (`._name`, `__MACOSX`) are left out. No folder is entered twice, so there are
    no loops or duplicates.

    Raises:
        OSError: a folder cannot be listed.
    """
    pending, entered = [folder], set()
    linked: list[Path] = []
    while pending or linked:
        place = pending.pop() if pending else linked.pop(0)
        real = os.path.realpath(place)
        if real in entered:
            continue
        entered.add(real)
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            path, group = Path(entry.path), linked if entry.is_symlink() else pending
            if os.path.isdir(path) if group is linked else entry.is_dir():  # isdir copes with a link to itself
                group.append(path)
            else:
                yield path


def recordings(folder: Path) -> list[Path]:
    """The files below a folder that have the name of a recording, sorted.

    Raises:
        OSError: a folder cannot be listed.
    """
    return sorted(path for path in walk(folder) if is_recording(path))


def is_recording(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def has_utf8_name(path: Path | str) -> bool:
    """Whether lists of files, which are UTF-8, can hold the name."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True

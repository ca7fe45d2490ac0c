"""Recordings inside other files, read in place: parquet with an audio column of {bytes, path}, and WebDataset tars."""

import contextlib
import functools
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from pipeline.common.stage import StageError
from pipeline.corpus.manifests import SPEAKER, speaker_of
from telucodec.audio.folders import is_recording

PARQUET, TAR = ".parquet", ".tar"


class Member(NamedTuple):
    """A recording inside a pack: its key there, its name, and its speaker where the pack names one."""

    key: str
    name: str
    speaker: str | None


def is_pack(path: Path) -> bool:
    return path.suffix.lower() in (PARQUET, TAR)


def members(path: Path, column: str | None = None) -> list[Member]:
    """The recordings inside a pack, in its order.

    Args:
        column: of the speaker in a parquet file; None: the first usual one.

    Raises:
        StageError: the file is damaged or holds no audio, or pyarrow is missing.
    """
    return list(_tar_members(path) if path.suffix.lower() == TAR else _parquet_members(path, column))


def source(path: Path, key: str | None) -> Path | BinaryIO:
    """What the reader reads: a file, or with a key a recording inside it.

    Raises:
        StageError: as `members`.
    """
    if key is None:
        return path
    if path.suffix.lower() == TAR:
        offset, size = _tar_places(path)[key]
        with path.open("rb") as file:
            file.seek(offset)
            return io.BytesIO(file.read(size))
    return io.BytesIO(_parquet_bytes(path, int(key)) or b"")


def _tar_members(path: Path) -> Iterator[Member]:
    """Files with the name of a recording; a JSON file of the same name may hold the speaker."""
    said: dict[str, str | None] = {}
    names: dict[PurePosixPath, None] = {}  # in order
    with _tar(path) as tar:
        for member in tar:
            place = PurePosixPath(member.name)
            if not member.isfile() or place.name.startswith("."):
                continue
            if place.suffix == ".json" and (content := tar.extractfile(member)):
                try:
                    row = json.load(content)
                except ValueError:
                    continue
                said[_sample(place)] = speaker_of(row) if isinstance(row, dict) else None
            elif is_recording(Path(member.name)):
                if place in names:
                    raise StageError(f"{path}: holds two files of the name {place}; rename one of them")
                names[place] = None
    for place in names:
        yield Member(str(place), str(place), said.get(_sample(place)))


def _sample(place: PurePosixPath) -> str:
    """What WebDataset takes for the name of a sample: all up to the first point."""
    return str(place.parent / place.name.split(".")[0])


@functools.lru_cache(maxsize=4)
def _tar_places(path: Path) -> dict[str, tuple[int, int]]:
    """Offset and size in bytes of every file in a tar."""
    with _tar(path) as tar:
        return {str(PurePosixPath(member.name)): (member.offset_data, member.size) for member in tar if member.isfile()}


@contextlib.contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    """An open tar, all of whose members are read within the block.

    Raises:
        StageError: it cannot be read to its end.
    """
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
            file.seek(tar.offset)
            while rest := file.read(1 << 20):
                if rest.strip(b"\0"):
                    raise StageError(
                        f"{path}: more follows its end, so it is damaged, or several tars were joined; pack it anew"
                    )
    except (tarfile.TarError, OSError) as error:
        raise StageError(
            f"{path}: not a tar file, or damaged or compressed ({error}); unpack it or take it out"
        ) from None


def _parquet_members(path: Path, column: str | None) -> Iterator[Member]:
    file = _parquet(path)
    audio = _audio_column(path)
    names = file.schema_arrow.names
    said = next((name for name in ([column] if column else SPEAKER) if name in names), None)
    table = file.read(columns=[f"{audio}.path", *([said] if said else [])])
    paths = [value and value.get("path") for value in table.column(audio).to_pylist()]
    speakers = table.column(said).to_pylist() if said else [None] * len(paths)
    for number, (name, speaker) in enumerate(zip(paths, speakers, strict=True)):
        yield Member(str(number), str(name or number), speaker_of({"speaker": speaker}))


def _audio_column(path: Path) -> str:
    """The name of the column of {bytes, path}."""
    from pyarrow.types import is_binary, is_large_binary

    for field in _parquet(path).schema_arrow:
        types = {inner.name: inner.type for inner in getattr(field.type, "fields", [])}
        if types.keys() >= {"bytes", "path"} and (is_binary(types["bytes"]) or is_large_binary(types["bytes"])):
            return field.name
    names = ", ".join(_parquet(path).schema_arrow.names)
    raise StageError(f"{path}: no column of {{bytes, path}} among {names}; take the file out, or store the sound in it")


@functools.lru_cache(maxsize=4)
def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise StageError(f"{path}: parquet files are read with pyarrow; pip install 'telucodec[parquet]'") from None
    try:
        return parquet.ParquetFile(path, pre_buffer=False)
    except (ArrowException, OSError) as error:
        raise StageError(f"{path}: not a parquet file, or damaged ({error}); fetch it again") from None


def _parquet_bytes(path: Path, row: int) -> bytes | None:
    """The bytes of a row. Row groups are held one at a time, so whoever reads in order reads each once."""
    metadata = _parquet(path).metadata
    group = 0
    while row >= metadata.row_group(group).num_rows:
        row -= metadata.row_group(group).num_rows
        group += 1
    return (_row_group(path, group)[row].as_py() or {}).get("bytes")


@functools.lru_cache(maxsize=1)
def _row_group(path: Path, group: int) -> Any:
    audio = _audio_column(path)
    return _parquet(path).read_row_group(group, columns=[f"{audio}.bytes"]).column(audio)

"""Recordings inside other files, read in place: parquet with an audio column of {bytes, path}, and WebDataset tars."""

import contextlib
import functools
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from telucodec.audio.folders import is_recording
from telucodec.errors import AudioError

PARQUET, TAR = ".parquet", ".tar"
ARCHIVES = re.compile(r"\.(?:t(?:ar\.)?(?:gz|bz2|xz|zst)|zip|rar|7z)$", re.IGNORECASE)


class Member(NamedTuple):
    """A recording in a file.

    Attributes:
        key: its row in parquet, its path in a tar; None: it is the whole file.
        name: its path, as far as the file says.
        row: what else the file says of it.
    """

    key: str | None
    name: str
    row: dict[str, Any]


def is_pack(path: Path) -> bool:
    return path.suffix.lower() in (PARQUET, TAR)


def unread(paths: Iterable[Path]) -> str | None:
    """A sentence on the archives among files, which are not looked into; None if there are none."""
    archives = sorted(str(path) for path in paths if ARCHIVES.search(path.name))
    if not archives:
        return None
    remedy = "unless what they hold lies here, too, unpack them (.tar.gz to .tar: gunzip)"
    return f"{len(archives)} archives are not looked into, such as {archives[0]!r}; {remedy}"


def members(path: Path, columns: Iterable[str] = ()) -> Iterator[Member]:
    """The recordings in a file, in its order: those inside a pack, the file itself, or none.

    Args:
        columns: of a parquet file that `row` shall have, where they are there. In a tar, `row` is the sample's JSON.

    Raises:
        AudioError: a pack is damaged, holds no audio or several recordings a row, or pyarrow is missing.
    """
    if is_recording(path):
        yield Member(None, str(path), {})
    elif path.suffix.lower() == TAR:
        yield from _tar_members(path)
    elif path.suffix.lower() == PARQUET:
        yield from _parquet_members(path, set(columns))


def source(path: Path, key: str | None) -> Path | BinaryIO:
    """What the reader reads: a file, or with a key a recording inside it.

    Raises:
        AudioError: as `members`.
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
    """Files with the name of a recording; a JSON file of the same name may say more of it."""
    rows: dict[str, dict[str, Any]] = {}
    faults: dict[str, str] = {}
    names: dict[PurePosixPath, None] = {}  # in order
    with _tar(path) as tar:
        for member in tar:
            place = PurePosixPath(member.name)
            if not member.isfile() or place.name.startswith("."):
                continue
            if place.suffix == ".json" and (content := tar.extractfile(member)):
                try:
                    row = json.load(content)
                except (ValueError, RecursionError) as error:
                    faults[_sample(place)] = f"{path}: {place} is not JSON ({error}); correct it and pack the tar anew"
                    continue
                rows[_sample(place)] = row if isinstance(row, dict) else {}
            elif is_recording(Path(member.name)):
                if place in names:
                    raise AudioError(f"{path}: holds two files of the name {place}; rename one of them")
                names[place] = None
    for place in names:
        if fault := faults.get(_sample(place)):  # it may name the speaker
            raise AudioError(fault)
        yield Member(str(place), str(place), rows.get(_sample(place), {}))


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
        AudioError: it cannot be read to its end.
    """
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
            file.seek(tar.offset)
            while rest := file.read(1 << 20):
                if rest.strip(b"\0"):
                    raise AudioError(
                        f"{path}: more follows its end, so it is damaged, or several tars were joined; pack it anew"
                    )
    except (tarfile.TarError, OSError) as error:
        raise AudioError(
            f"{path}: not a tar file, or damaged or compressed ({error}); unpack it or take it out"
        ) from None


def _parquet_members(path: Path, columns: set[str]) -> Iterator[Member]:
    file = _parquet(path)
    audio = _audio_column(path)
    said = [name for name in file.schema_arrow.names if name in columns]
    table = file.read(columns=[f"{audio}.path", *said])
    try:
        paths = [value and value.get("path") for value in table.column(audio).to_pylist()]
        rows = table.select(said).to_pylist() if said else [{} for _ in paths]
    except UnicodeDecodeError as error:
        names = ", ".join([f"{audio}.path", *said])
        raise AudioError(f"{path}: text in {names} is not UTF-8 ({error}); write the file again with UTF-8") from None
    for number, (name, row) in enumerate(zip(paths, rows, strict=True)):
        yield Member(str(number), str(name or number), row)


def _audio_column(path: Path) -> str:
    """The name of the column of {bytes, path}."""
    from pyarrow.types import is_binary, is_large_binary

    found = []
    for field in _parquet(path).schema_arrow:
        types = {inner.name: inner.type for inner in getattr(field.type, "fields", [])}
        if types.keys() >= {"bytes", "path"} and (is_binary(types["bytes"]) or is_large_binary(types["bytes"])):
            found.append(field.name)
    if len(found) == 1:
        return found[0]
    if found:
        raise AudioError(
            f"{path}: {len(found)} columns of sound, {', '.join(found)}; write the file anew with one of them"
        )
    names = ", ".join(_parquet(path).schema_arrow.names)
    raise AudioError(f"{path}: no column of {{bytes, path}} among {names}; take the file out, or store the sound in it")


@functools.lru_cache(maxsize=4)
def _parquet(path: Path) -> Any:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise AudioError(f"{path}: parquet files are read with pyarrow; pip install 'telucodec[parquet]'") from None
    try:
        return parquet.ParquetFile(path, pre_buffer=False)
    except (ArrowException, OSError) as error:
        raise AudioError(f"{path}: not a parquet file, or damaged ({error}); fetch it again") from None


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
    from pyarrow import ArrowException

    audio = _audio_column(path)
    try:
        return _parquet(path).read_row_group(group, columns=[f"{audio}.bytes"]).column(audio)
    except (ArrowException, OSError) as error:
        raise AudioError(f"{path}: row group {group} is damaged ({error}); fetch the file again", "damaged") from None

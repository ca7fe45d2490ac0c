"""Shards of a dataset, in the two formats that there are.

webdataset  a tar with two files for each recording: NUMBER.tokens.npy, the tokens, and NUMBER.json, with its source and seconds
parquet     a table with a row for each recording and the fields of `Entry` as columns; `tokens` is a list of lists
"""

import contextlib
import functools
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from telucodec.errors import DatasetError

Format = Literal["webdataset", "parquet"]
SUFFIX: dict[Format, str] = {"webdataset": ".tar", "parquet": ".parquet"}
ROWS = 1000  # in a row group of parquet, which is held in memory


class Entry(NamedTuple):
    """A recording in a shard.

    Attributes:
        number: its place in the whole dataset; those of recordings that were left out are missing.
        source: its name, as `Recording.name`.
        seconds: its length.
        tokens: uint16 [num_codebooks, frames].
    """

    number: int
    source: str
    seconds: float
    tokens: np.ndarray


def check_format(file_format: str) -> None:
    """Check that shards of a format can be written.

    Raises:
        DatasetError: no such format, or pyarrow is missing.
    """
    if file_format not in SUFFIX:
        raise DatasetError(f"{file_format!r} is not a format of datasets; there are {', '.join(get_args(Format))}")
    if file_format == "parquet":
        _pyarrow()


@contextlib.contextmanager
def writer(path: Path) -> Iterator[Callable[[Entry], None]]:
    """What adds an entry to the new shard `path`, whose suffix names its format."""
    if path.suffix == SUFFIX["webdataset"]:
        with tarfile.open(path, "w") as tar:
            yield functools.partial(_add_to_tar, tar)
        return
    rows: list[Entry] = []
    with _pyarrow().parquet.ParquetWriter(path, _schema()) as file:
        yield functools.partial(_add_row, file, rows)
        _write_rows(file, rows)


def entries(path: Path) -> Iterator[Entry]:
    """The recordings in a shard, in order.

    Raises:
        DatasetError: it is not a shard, or pyarrow is missing.
    """
    yield from _tar_entries(path) if path.suffix == SUFFIX["webdataset"] else _parquet_entries(path)


def _add_to_tar(tar: tarfile.TarFile, entry: Entry) -> None:
    values = io.BytesIO()
    np.save(values, entry.tokens)
    description = json.dumps({"source": entry.source, "seconds": entry.seconds}, ensure_ascii=False)
    for suffix, data in (("tokens.npy", values.getvalue()), ("json", description.encode())):
        member = tarfile.TarInfo(f"{entry.number:09d}.{suffix}")  # no time, no owner: equal recordings give equal bytes
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def _tar_entries(path: Path) -> Iterator[Entry]:
    with tarfile.open(path) as tar:
        members = iter(tar)
        for tokens, description in zip(members, members, strict=True):
            said = json.loads(_content(tar, description))
            number = int(tokens.name.partition(".")[0])
            yield Entry(number, said["source"], said["seconds"], np.load(io.BytesIO(_content(tar, tokens))))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise DatasetError(f"{member.name} in a shard is not a file; make the dataset again")
    return file.read()


def _schema() -> Any:
    arrow = _pyarrow()
    types = arrow.int64(), arrow.string(), arrow.float64(), arrow.list_(arrow.list_(arrow.uint16()))
    return arrow.schema(list(zip(Entry._fields, types, strict=True)))


def _add_row(file: Any, rows: list[Entry], entry: Entry) -> None:
    rows.append(entry)
    if len(rows) == ROWS:
        _write_rows(file, rows)


def _write_rows(file: Any, rows: list[Entry]) -> None:
    """Write what waits, if anything does."""
    if rows:
        values = [{**entry._asdict(), "tokens": list(entry.tokens)} for entry in rows]
        file.write_table(_pyarrow().Table.from_pylist(values, _schema()))
    rows.clear()


def _parquet_entries(path: Path) -> Iterator[Entry]:
    for batch in _pyarrow().parquet.ParquetFile(path).iter_batches(100, columns=list(Entry._fields)):
        for row in batch.to_pylist():
            yield Entry(**{**row, "tokens": np.array(row["tokens"], np.uint16)})


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DatasetError("parquet is written and read with pyarrow; pip install 'telucodec[parquet]'") from None
    return pyarrow

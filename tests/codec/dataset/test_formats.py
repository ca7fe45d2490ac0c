"""Datasets of parquet, of recordings inside other files, and by several processes."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import psutil
import pyarrow
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pyarrow import parquet

from telucodec import dataset
from telucodec.cli import main
from telucodec.codec import Codec
from telucodec.dataset import shards
from telucodec.dataset.shards import Entry
from telucodec.errors import AudioError, CodecError, DatasetError
from tests.codec.dataset.conftest import contents
from tests.processes import living


@pytest.fixture(scope="module")
def packed(tmp_path_factory, recordings):
    """Five recordings, twice: in a parquet file with two row groups, and in a tar in a folder below."""
    folder = tmp_path_factory.mktemp("packed")
    sounds = [(recordings / f"{number}.wav").read_bytes() for number in range(5)]
    audio = [{"bytes": sound, "path": f"{number}.wav"} for number, sound in enumerate(sounds)]
    table = pyarrow.table({"audio": audio, "text": [f"text {number}" for number in range(5)]})
    parquet.write_table(table, folder / "train.parquet", row_group_size=3)
    (folder / "deep").mkdir()
    with tarfile.open(folder / "deep" / "shard.tar", "w") as tar:
        for number, sound in enumerate(sounds):
            for name, data in ((f"{number}.json", b'{"text": "x"}'), (f"{number}.wav", sound)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return folder


def test_recordings_inside_other_files_have_the_tokens_that_they_have_as_files(telu, recordings, packed, tmp_path):
    summary = dataset.write(telu, packed, tmp_path / "out", shard_size=4)
    found = {description["source"]: tokens for description, tokens in dataset.samples(tmp_path / "out")}
    assert summary["recordings"] == 10 and not summary["rejected"]
    inside = "deep/shard.tar#{}.wav", "train.parquet#{}"
    assert list(found) == [place.format(number) for place in inside for number in range(5)]
    for number in range(5):
        audio, _ = soundfile.read(recordings / f"{number}.wav", dtype="int16")
        for place in inside:
            assert np.array_equal(found[place.format(number)], telu.tokenize(audio))


def test_a_recording_inside_a_file_that_cannot_be_read_is_named(telu, recordings, tmp_path):
    good = (recordings / "1.wav").read_bytes()
    (tmp_path / "in").mkdir()
    rows = [{"bytes": data, "path": None} for data in (good, b"no sound", None, good[:9000])]
    parquet.write_table(pyarrow.table({"audio": rows}), tmp_path / "in" / "x.parquet")
    summary = dataset.write(telu, tmp_path / "in", tmp_path / "out")
    assert summary["recordings"] == 1
    assert [each["source"] for each in summary["rejected"]] == [f"x.parquet#{number}" for number in (1, 2, 3)]
    assert all(each["source"] in each["reason"] for each in summary["rejected"])


def test_a_damaged_part_of_a_parquet_file_costs_no_other(telu, packed, tmp_path):
    data = bytearray((packed / "train.parquet").read_bytes())
    groups = parquet.ParquetFile(packed / "train.parquet").metadata
    start = groups.row_group(1).column(0).dictionary_page_offset
    data[start : start + 400] = b"\xff" * 400
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.parquet").write_bytes(data)
    summary = dataset.write(telu, tmp_path / "in", tmp_path / "out")
    assert summary["recordings"] == 3
    assert [each["source"] for each in summary["rejected"]] == ["x.parquet#3", "x.parquet#4"]
    assert "x.parquet: row group 1 is damaged" in summary["rejected"][0]["reason"]


def test_a_tar_that_ends_early_is_named(telu, packed, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cut.tar").write_bytes((packed / "deep" / "shard.tar").read_bytes()[:30_000])
    with pytest.raises(AudioError, match=r"cut\.tar: not a tar file, or damaged.*end of data"):
        dataset.write(telu, tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("x.parquet", b"broken", "not a parquet file"),
        ("x.tar", b"broken", "not a tar file"),
        ("y.parquet", None, r"no column of \{bytes, path\} among text"),
    ],
)
def test_a_file_that_should_hold_recordings_is_named_before_anything_is_written(telu, tmp_path, name, data, words):
    (tmp_path / "in").mkdir()
    if data is None:
        parquet.write_table(pyarrow.table({"text": ["x"]}), tmp_path / "in" / name)
    else:
        (tmp_path / "in" / name).write_bytes(data)
    with pytest.raises(AudioError, match=rf"{name}: {words}"):
        dataset.write(telu, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_parquet_holds_what_webdataset_holds(telu, recordings, tmp_path):
    tar, table = tmp_path / "tar", tmp_path / "table"
    summary = dataset.write(telu, recordings, tar, shard_size=4)
    assert dataset.write(telu, recordings, table, shard_size=4, file_format="parquet") == summary
    for one, other in zip(dataset.samples(tar), dataset.samples(table), strict=True):
        assert one[0] == other[0] and one[1].dtype == other[1].dtype and np.array_equal(one[1], other[1])
    rows = pyarrow.concat_tables([parquet.read_table(path) for path in sorted(table.glob("*.parquet"))])
    tokens = pyarrow.list_(pyarrow.list_(pyarrow.uint16()))
    assert dict(zip(rows.schema.names, rows.schema.types, strict=True)) == {
        "number": pyarrow.int64(),
        "source": pyarrow.string(),
        "seconds": pyarrow.float64(),
        "tokens": tokens,
    }
    assert rows.column("number").to_pylist() == list(range(7))


entry = st.builds(
    Entry,
    number=st.integers(0, 999_999_999),
    source=st.text(st.characters(codec="utf-8"), max_size=20),
    seconds=st.floats(0, 1e6),
    tokens=arrays.arrays(np.uint16, arrays.array_shapes(min_dims=2, max_dims=2, max_side=5)),
)


@settings(max_examples=20)
@given(written=st.lists(entry, max_size=4))
@pytest.mark.parametrize("suffix", shards.SUFFIX.values())
def test_a_shard_gives_back_what_was_written(tmp_path_factory, suffix, written):
    path = tmp_path_factory.mktemp("shard") / f"tokens-000000{suffix}"
    with shards.writer(path) as add:
        for each in written:
            add(each)
    read = list(shards.entries(path))
    assert [each[:3] for each in read] == [each[:3] for each in written]
    assert all(np.array_equal(one.tokens, other.tokens) for one, other in zip(read, written, strict=True))


def test_several_processes_write_the_same_bytes(telu, recordings, tmp_path):
    dataset.write(telu, recordings, tmp_path / "one", shard_size=4)
    dataset.write(telu, recordings, tmp_path / "two", shard_size=4, jobs=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_killed_with_its_processes_it_goes_on_and_ends_with_the_same_bytes(telu, models, packed, tmp_path):
    dataset.write(telu, packed, tmp_path / "whole", shard_size=1, file_format="parquet")
    out = tmp_path / "out"
    options = ["--shard-size", "1", "--format", "parquet", "--model", str(models)]
    command = [sys.executable, "-m", "telucodec.cli", "tokenize", str(packed), "-o", str(out), *options]
    process = subprocess.Popen([*command, "--jobs", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: (out / "tokens-000001.parquet").exists() or process.poll() is not None)
    workers = psutil.Process(process.pid).children() if process.poll() is None else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not living(lambda _: True, workers))
    subprocess.run([*command, "--jobs", "1"], check=True, capture_output=True)
    assert contents(out) == contents(tmp_path / "whole")


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        time.sleep(0.001)


class Dying(Codec):
    """A codec whose process is killed, as by a machine without memory."""

    def __reduce__(self):
        return Dying, (self._models,)

    def tokenize(self, audio, num_codebooks=0):
        os._exit(9)


def test_a_process_that_is_killed_ends_it_with_the_remedy(telu, recordings, tmp_path):
    with pytest.raises(DatasetError, match=r"one of 2 processes was killed.* fewer --jobs"):
        dataset.write(Dying(telu._models), recordings, tmp_path / "out", jobs=2)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["plan.json"]


def test_another_format_is_another_dataset(telu, recordings, tmp_path):
    dataset.write(telu, recordings, tmp_path)
    with pytest.raises(DatasetError, match="other format"):
        dataset.write(telu, recordings, tmp_path, file_format="parquet")


def test_a_wrong_number_of_processes_is_refused(telu, recordings, tmp_path):
    with pytest.raises(CodecError, match="jobs must be at least 1"):
        dataset.write(telu, recordings, tmp_path / "out", jobs=0)
    with pytest.raises(DatasetError, match="'csv' is not a format of datasets; there are webdataset, parquet"):
        dataset.write(telu, recordings, tmp_path / "out", file_format="csv")


def test_without_pyarrow_the_remedy_is_named(models, recordings, packed, tmp_path, monkeypatch, capsys):
    packed = shutil.copytree(packed, tmp_path / "packed")  # where no file has been opened before
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for folder, options in ((recordings, ["--format", "parquet"]), (packed, [])):
        out = str(tmp_path / "out")
        assert main(["tokenize", str(folder), "-o", out, "--model", str(models), "--jobs", "1", *options]) == 1
        assert "pip install 'telucodec[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

"""Recordings inside parquet files and WebDataset tars."""

import gzip
import io
import json
import re
import tarfile

import numpy as np
import pytest
import soundfile

from pipeline import discover, preprocess
from pipeline.common import files
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.corpus import plan


def sound(spoken, seed, form="FLAC"):
    content = io.BytesIO()
    soundfile.write(content, spoken(0.5, seed), 16000, format=form)
    return content.getvalue()


def parquet(path, spoken, column="audio", rows=7, **more):
    import pyarrow
    from pyarrow import parquet

    audio = [{"bytes": sound(spoken, seed), "path": f"{seed}.flac"} for seed in range(rows)]
    table = {column: audio, "text": ["x"] * rows, **{name: values for name, values in more.items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(table), path, row_group_size=3)
    return path.parent


@pytest.mark.parametrize("column", ["audio", "audio_filepath"])
def test_parquet_of_the_hub_is_read_in_place(tmp_path, spoken, speakers, column):
    who = ["S1", "S1", "S2", "S2", "S3", "S3", "S3"]
    folder = parquet(tmp_path / "c" / "telugu" / "train-00000-of-00001.parquet", spoken, column, speaker_id=who).parent
    found = speakers(folder, corpus="indicvoices")
    assert list(found.items()) == [(f"telugu/train-00000-of-00001.parquet#{n}", who[n]) for n in range(7)]


def test_indictts_on_the_hub_has_a_voice_for_each_gender(tmp_path, spoken, speakers):
    folder = parquet(tmp_path / "c" / "train.parquet", spoken, gender=["male"] * 4 + ["female"] * 3)
    assert set(speakers(folder, corpus="indictts").values()) == {"male", "female"}


def test_the_speaker_of_a_partitioned_dataset_stands_in_its_folders(tmp_path, spoken, speakers):
    for number, who in enumerate("ab"):
        parquet(tmp_path / "c" / "lang=te" / f"speaker_id={who}" / "0.parquet", spoken, rows=1 + number)
    assert set(speakers(tmp_path / "c").values()) == {"a", "b"}


def test_text_in_parquet_that_is_not_utf8_is_named(tmp_path, spoken, speakers):
    import pyarrow
    from pyarrow import parquet as pq

    (tmp_path / "c").mkdir()
    name = pyarrow.array([b"caf\xe9.flac"]).view(pyarrow.string())
    audio = pyarrow.StructArray.from_arrays([pyarrow.array([sound(spoken, 1)]), name], ["bytes", "path"])
    pq.write_table(pyarrow.table({"audio": audio}), tmp_path / "c" / "x.parquet")
    with pytest.raises(StageError, match=r"x\.parquet: text in audio\.path is not UTF-8 .*; write the file again"):
        speakers(tmp_path / "c")


def webdataset(path, spoken):
    with tarfile.open(path, "w") as tar:
        for seed in range(6):
            row = json.dumps({"speaker": f"voice {seed // 2}", "text": "x"}).encode()
            for name, data in ((f"{seed:06d}.json", row), (f"{seed:06d}.flac", sound(spoken, 20 + seed))):
                add(tar, name, data)


def test_webdataset_tars_are_read_in_place(tmp_path, spoken, speakers):
    (tmp_path / "c").mkdir()
    webdataset(tmp_path / "c" / "shard-000000.tar", spoken)
    found = speakers(tmp_path / "c")
    assert found == {f"shard-000000.tar#{seed:06d}.flac": f"voice {seed // 2}" for seed in range(6)}


def add(tar, name, data, **attributes):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    tar.addfile(member, io.BytesIO(data))


def test_folders_links_and_any_names_in_a_tar(tmp_path, spoken, speakers):
    (tmp_path / "c").mkdir()
    with tarfile.open(tmp_path / "c" / "x.tar", "w") as tar:
        add(tar, "k/", b"", type=tarfile.DIRTYPE)
        for seed, name in enumerate(("k/a.flac", "l/a.flac", "./m/n/a.flac", "e\udce9.flac")):
            add(tar, name, sound(spoken, seed))
        add(tar, "k/a.json", b'{"speaker": "anna"}')
        add(tar, "k/b.flac", b"", type=tarfile.SYMTYPE, linkname="a.flac")
        add(tar, "__MACOSX/._a.flac", b"x")
    assert speakers(tmp_path / "c") == {"x.tar#k/a.flac": "anna", "x.tar#l/a.flac": "l", "x.tar#m/n/a.flac": "m"}
    rejected = {row["path"]: row["reason"] for row in files.read_lines(files.MANIFEST) if row["status"] != "ok"}
    assert rejected == {r"x.tar#e\xe9.flac": "name_not_utf8"}


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda content: content * 2, "more follows its end, so it is damaged, or several tars were joined"),
        (lambda content: content[: len(content) // 2], "damaged or compressed (unexpected end of data)"),
        (lambda content: content.replace(b"000003.flac", b"000003.fla\xff"), "more follows its end"),
        (lambda content: gzip.compress(content), "damaged or compressed (invalid header)"),
    ],
)
def test_a_tar_that_is_not_one_whole_is_named(tmp_path, spoken, speakers, damage, words):
    (tmp_path / "c").mkdir()
    path = tmp_path / "c" / "x.tar"
    webdataset(path, spoken)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StageError, match=r"x\.tar: ") as refused:
        speakers(tmp_path / "c")
    assert words in str(refused.value)


def test_two_files_of_a_name_in_a_tar_are_named(tmp_path, spoken, speakers):
    (tmp_path / "c").mkdir()
    with tarfile.open(tmp_path / "c" / "x.tar", "w") as tar:
        for seed in range(2):
            add(tar, "a.flac", sound(spoken, seed))
    with pytest.raises(StageError, match=r"x\.tar: holds two files of the name a\.flac; rename one"):
        speakers(tmp_path / "c")


def test_recordings_in_packs_become_clips(tmp_path, spoken, workspace, change, recorded):
    folder = recorded("plain/1.wav")
    parquet(folder / "p.parquet", spoken, speaker_id=[f"p{seed}" for seed in range(7)])
    webdataset(folder / "t.tar", spoken)
    settings = change(workspace, {"data.root": str(folder), "preprocess.split_seed": 3})
    for _ in range(2):  # measured, then remembered
        discover.main(settings)
    preprocess.main(settings)
    clips = {}
    for split in plan.SPLITS:
        shards = Shards(files.SHARDS / split)
        clips |= {clip["source"]: shards.clip(number) for number, clip in enumerate(shards.clips)}
    assert len(clips) == 1 + 7 + 6
    assert np.abs(clips["p.parquet#5"] - spoken(0.5, 5)).max() < 1e-4
    assert np.abs(clips["t.tar#000002.flac"] - spoken(0.5, 22)).max() < 1e-4


def test_damage_in_a_pack_is_named(tmp_path, spoken, speakers):
    import pyarrow
    from pyarrow import parquet as pq

    (tmp_path / "c").mkdir()
    rows = [
        {"bytes": sound(spoken, 1), "path": "1.flac"},
        {"bytes": None, "path": "2.flac"},
        {"bytes": b"no", "path": None},
        None,
    ]
    pq.write_table(pyarrow.table({"audio": rows}), tmp_path / "c" / "x.parquet")
    assert list(speakers(tmp_path / "c")) == ["x.parquet#0"]
    rejected = {row["path"]: row["reason"] for row in files.read_lines(files.MANIFEST) if row["status"] != "ok"}
    assert rejected == {"x.parquet#1": "empty", "x.parquet#2": "not_audio", "x.parquet#3": "empty"}
    for name, words in (("broken.parquet", "not a parquet file"), ("broken.tar", "not a tar file")):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / name).write_bytes(b"broken")
        with pytest.raises(StageError, match=rf"{name}: {words}"):
            speakers(tmp_path / "d")
        (tmp_path / "d" / name).unlink()


@pytest.mark.parametrize(
    "name, cell",
    [("text", "x"), ("audio", {"bytes": "text", "path": "x"}), ("audio", {"array": [0.5], "path": "x"})],
    ids=str,
)
def test_parquet_without_sound_is_named(tmp_path, speakers, name, cell):
    import pyarrow
    from pyarrow import parquet as pq

    (tmp_path / "c").mkdir()
    pq.write_table(pyarrow.table({name: [cell]}), tmp_path / "c" / "x.parquet")
    with pytest.raises(StageError, match=rf"x\.parquet: no column of \{{bytes, path\}} among {name}"):
        speakers(tmp_path / "c")


def test_two_columns_of_sound_in_parquet_are_named(tmp_path, spoken, speakers):
    noisy = [{"bytes": b"x", "path": "x"}] * 7
    folder = parquet(tmp_path / "c" / "x.parquet", spoken, noisy=noisy)
    with pytest.raises(StageError, match=r"x\.parquet: 2 columns of sound, audio, noisy; write the file anew with one"):
        speakers(folder)


@pytest.mark.parametrize(
    "row", [b'{"speaker": "anna"', b'{"speaker": "\xff"}', b"[" * 100_000], ids=["cut", "bytes", "deep"]
)
def test_broken_json_of_a_recording_in_a_tar_is_named(tmp_path, spoken, speakers, row):
    (tmp_path / "c").mkdir()
    with tarfile.open(tmp_path / "c" / "x.tar", "w") as tar:
        add(tar, "k/b.json", row)
        add(tar, "k/a.flac", sound(spoken, 1))
    assert speakers(tmp_path / "c") == {"x.tar#k/a.flac": "k"}  # it is of another sample
    with tarfile.open(tmp_path / "c" / "x.tar", "a") as tar:
        add(tar, "k/b.flac", sound(spoken, 2))
    with pytest.raises(StageError, match=r"x\.tar: k/b\.json is not JSON .*; correct it and pack the tar anew"):
        speakers(tmp_path / "c")


@pytest.mark.parametrize("name", ["x.tar.gz", "x.TGZ", "x.tar.zst", "x.zip"])
def test_archives_are_named_beside_recordings_and_without(tmp_path, spoken, recorded, speakers, name, capsys):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / name).write_bytes(b"x")
    said = rf"1 archives are not looked into, such as '.*{re.escape(name)}'; .*, unpack them \(\.tar\.gz to \.tar: gunzip\)"
    with pytest.raises(StageError, match=rf"no recording .*{said}"):
        speakers(tmp_path / "c")
    assert list(speakers(recorded("a/1.wav"))) == ["a/1.wav"]
    assert re.search(f"warning: .*{said}", capsys.readouterr().out)

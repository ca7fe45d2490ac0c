"""Public corpora as they come: miniatures in their true layout."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
import soundfile

from pipeline import discover, preprocess
from pipeline.common import files
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.corpus import plan
from pipeline.corpus.layouts import doubt


@pytest.fixture
def recorded(tmp_path, spoken):
    """Writes a recording, each of another sound, to a path below a folder; returns the folder."""
    count = 0

    def write(*paths):
        nonlocal count
        for path in paths:
            count += 1
            (tmp_path / "c" / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / "c" / path, spoken(0.4, count), 16000, format="WAV")
        return tmp_path / "c"

    return write


@pytest.fixture
def speakers(workspace, change):
    """The speaker of each recording by its path, after the stage `discover`."""

    def find(folder, **settings):
        values = {
            "data.root": str(folder),
            "data.max_rejected_fraction": 0.9,
            "data.corpus": None,
            "data.manifest": None,
        }
        values |= {f"data.{name}": value for name, value in settings.items()}
        discover.main(change(workspace, values))
        return {row["path"]: row["speaker"] for row in files.read_lines(files.MANIFEST) if row["status"] == "ok"}

    return find


NAME = "IISc_RESPIN_te_D1_{}_500001_M_AGRI_103184_{}"


def respin(recorded, reassigned):
    """Utterances of the accounts 10012 and 10013, and who really spoke."""
    meta = {}
    for number, (account, who) in enumerate(reassigned):
        name = NAME.format(account, f"1000000{number}")
        path = f"D1/{account}/{name}.wav"
        folder = recorded(path)
        meta[name] = {"speaker_id": account, "speaker_id_reassigned": who, "wav_path": path, "dialect": "D1"}
    return folder, meta


def test_respin_by_who_really_spoke(recorded, speakers):
    folder, meta = respin(recorded, [("10012", "10012_1"), ("10012", "10012_2"), ("10013", "NA"), ("10014", "10012_1")])
    (folder / "meta_train_te_small.json").write_text(json.dumps(meta, indent=4))
    assert list(speakers(folder, corpus="respin").values()) == ["10012_1", "10012_2", "10013", "10012_1"]


def test_respin_without_its_metadata(recorded, speakers):
    folder, _ = respin(recorded, [("10012", ""), ("10012", ""), ("10013", "")])
    assert list(speakers(folder, corpus="respin").values()) == ["D1_10012", "D1_10012", "D1_10013"]


@pytest.mark.parametrize(
    "corpus, voices",
    [
        (
            "syspin",
            {
                "Telugu_Male_Spk001": [
                    "IISc_SYSPINProject_Telugu_Male_Spk001_HC/wav/IISc_SYSPINProject_te_m_AGRI_00001.wav",
                    "IISc_SYSPINProject_Telugu_Male_Spk001_NHC/wav/IISc_SYSPINProject_te_m_AGRI_00002.wav",
                ],
                "Telugu_Female_Spk001": [
                    "IISc_SYSPINProject_Telugu_Female_Spk001_HC/wav/IISc_SYSPINProject_te_f_BOOK_00003.wav"
                ],
            },
        ),
        (
            "kathbath",
            {
                "594": ["telugu/train/audio/844424931537866-594-f.m4a", "telugu/valid/audio/844424933537866-594-f.m4a"],
                "61": ["telugu/train/audio/844424931537867-61-m.m4a"],
            },
        ),
        (
            "openslr",
            {
                "tef_00123": ["te_in_female/tef_00123_00011234567.wav", "te_in_female/tef_00123_00011234568.wav"],
                "tem_00123": ["te_in_male/tem_00123_00011234569.wav"],
                "bur_7447": ["bur_7447_7867396947.wav"],  # 80
                "clf_02121": ["clf_02121_00411238283.wav"],  # 71
            },
        ),
        (
            "shrutilipi",
            {
                "AIR_1": ["telugu/AIR_1/sent_1.wav", "telugu/AIR_1/sent_2.wav"],
                "AIR_2": ["telugu/AIR_2/sent_1.wav"],
            },
        ),
        (
            "indictts",
            {
                "telugu_male": ["telugu_male/wav/train_telugumale_00001.wav"],
                "telugufemale": ["wavs/train_telugufemale_00001.wav"],
            },
        ),
    ],
)
def test_speakers_by_the_layout_of_a_corpus(recorded, speakers, corpus, voices):
    folder = recorded(*(path for paths in voices.values() for path in paths))
    assert speakers(folder, corpus=corpus) == {path: voice for voice, paths in voices.items() for path in paths}


def test_common_voice_by_its_tables(recorded, speakers):
    folder = recorded(*(f"te/clips/common_voice_te_{number}.mp3" for number in range(4)))
    head = "client_id\tpath\tsentence\tup_votes"
    rows = [("aa", 0, 'ఆమె "అవును'), ("aa", 1, "రా"), ("bb", 2, "పో")]
    table = [head, *(f"{who}\tcommon_voice_te_{number}.mp3\t{text}\t2" for who, number, text in rows)]
    (folder / "te" / "validated.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    assert list(speakers(folder, corpus="common_voice").values()) == ["aa", "aa", "bb"]  # and not the fourth
    assert json.loads((files.METRICS / "discover.json").read_text())["data"]["speakers"] == 2


def test_common_voice_without_its_tables_says_what_is_missing(recorded, speakers):
    with pytest.raises(StageError, match=r"validated\.tsv .* names the speakers"):
        speakers(recorded("clips/1.mp3"), corpus="common_voice")


def test_fleurs_keeps_sentences_together_and_says_what_that_means(recorded, speakers, capsys):
    folder = recorded(*(f"te_in/audio/train/{number}.wav" for number in range(3)))
    lines = [f"{1500 + number // 2}\t{number}.wav\tX\tx\tx |\t6400\tFEMALE\n" for number in range(3)]
    (folder / "te_in" / "train.tsv").write_text("".join(lines))
    assert list(speakers(folder, corpus="fleurs").values()) == ["1500", "1500", "1501"]
    assert "warning: FLEURS names no speakers" in capsys.readouterr().out


LISTS = {
    "list.tsv": "path\tspeaker\n{0}\tanna\n{1}\tbela\n",
    "list.csv": 'text,speaker_id,file_name\n"a, b",anna,{0}\n"c",bela,{1}\n',
    "nemo.json": '{{"audio_filepath": "/elsewhere/{0}", "duration": 1, "speaker": "anna"}}\n'
    '{{"audio_filepath": "/elsewhere/{1}", "duration": 1, "speaker": "bela"}}\n',
    "cuts.jsonl": '{{"id": "x", "recording": {{"id": "r", "sources": [{{"type": "file", "source": "{0}"}}]}}, '
    '"supervisions": [{{"id": "s", "speaker": "anna"}}]}}\n'
    '{{"id": "y", "recording": {{"id": "q", "sources": [{{"type": "file", "source": "{1}"}}]}}, '
    '"supervisions": [{{"id": "t", "speaker": "bela"}}]}}\n',
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", LISTS)
def test_a_manifest_names_the_speakers(recorded, speakers, name, zipped):
    folder = recorded("one/1.wav", "two/1.wav", "two/2.wav")
    content = LISTS[name].format("one/1.wav", "two/1.wav").encode()
    path = folder / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(content) if zipped else content)
    assert speakers(folder, manifest=path.name) == {"one/1.wav": "anna", "two/1.wav": "bela"}
    assert speakers(folder, manifest=str(path)) == {"one/1.wav": "anna", "two/1.wav": "bela"}


@pytest.mark.parametrize(
    "content, words",
    [
        ("path\ttext\n1.wav\tx\n", "no column of the speaker (path, text); name one of speaker_id_reassigned"),
        ("voice\tspeaker\nx\ty\n", "no column of the path (speaker, voice)"),
        (
            "path\tspeaker\nx/9.wav\ty\n",
            "no recording is named by the manifest: it has 'x/9.wav', and the folder 'a/1.wav'",
        ),
        ("path\tspeaker\n1.wav\ty\n", "1.wav may be b/1.wav or a/1.wav; write longer paths"),
        ("path\tspeaker\na/1.wav\tx\na/1.wav\ty\n", "a/1.wav has several speakers, x and y"),
        ("", "no column of the path"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_with_the_remedy(recorded, speakers, content, words):
    folder = recorded("a/1.wav", "b/1.wav")
    (folder / "list.tsv").write_text(content)
    with pytest.raises(StageError) as refused:
        speakers(folder, manifest="list.tsv")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("x.tsv", 'path\ttext\tspeaker\n1.wav\t"a\tb"\tx\n', "line 2 has more columns than the header"),
        ("x.csv", "path;speaker\n1.wav;x\n", "no column of the path (path;speaker)"),
        ("x.csv", "path,speaker\n1.wav,x\n".encode("utf-16"), "not UTF-8"),
        ("x.json", '{"audio_filepath": "1.wav", "speaker": "x"}\n{"audio', "line 2 is not JSON"),
        ("x.json", '{"audio_filepath": "1.wav", "speaker": {"id": 1}}', "no column of the speaker"),
        ("x.json", '{"audio_filepath": "1.wav", "speaker": NaN}', "no column of the speaker"),
        ("x.jsonl", '{"id": "x", "recording": "r", "supervisions": "s"}', "no column of the speaker"),
        ("x.jsonl", '{"id": "x", "recording": {"sources": [{"type": "command"}]}, "speaker": "y"}', "it has 'x'"),
        ("x.json", "[" * 100_000, "cannot be read: maximum recursion depth"),
    ],
)
def test_a_manifest_in_another_shape_is_refused_by_name(recorded, speakers, name, content, words):
    folder = recorded("1.wav")
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StageError) as refused:
        speakers(folder, manifest=name)
    assert words in str(refused.value)


def test_a_manifest_of_another_system_is_read(recorded, speakers):
    folder = recorded("a/1.wav", "a/2.wav")
    (folder / "list.tsv").write_text("\ufeffpath\tspeaker\na\\1.wav\tx\na/2.wav\ty", newline="\r\n")
    assert speakers(folder, manifest="list.tsv") == {"a/1.wav": "x", "a/2.wav": "y"}
    (folder / "list.json").write_text('\ufeff{"audio_filepath": "C:\\\\a\\\\1.wav", "speaker": "\\ud800"}\r\n')
    assert speakers(folder, manifest="list.json") == {"a/1.wav": r"\ud800"}


def test_what_a_manifest_names_and_is_not_there_or_used_in_part_is_said(recorded, speakers, capsys):
    folder = recorded("1.wav")
    row = '{"audio_filepath": "NAME", "offset": 3600.5, "duration": 9, "speaker": "x"}\n'
    (folder / "list.json").write_text(row.replace("NAME", "1.wav") + row.replace("NAME", "2.wav"))
    assert speakers(folder, manifest="list.json") == {"1.wav": "x"}
    said = capsys.readouterr().out
    assert "names parts of recordings (2 rows have an offset); the whole recordings are used" in said
    assert "warning: the manifest names 1 of 2 recordings that are not there, such as '2.wav'" in said


def test_a_manifest_that_is_not_there_is_named(recorded, speakers):
    with pytest.raises(StageError, match=r"data\.manifest is 'no\.tsv', but there is no file"):
        speakers(recorded("a/1.wav"), manifest="no.tsv")


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


@pytest.mark.parametrize(
    "recordings, speakers, words",
    [(30, 30, "30 speakers for 30 recordings"), (30, 28, "28 speakers"), (30, 2, "only 2 speakers"), (30, 10, None)],
)
def test_a_doubtful_number_of_speakers(recordings, speakers, words):
    sentence = doubt(recordings, speakers)
    assert sentence is None if words is None else (words in sentence and "data.manifest" in sentence)


def test_a_doubtful_number_of_speakers_is_said(recorded, speakers, capsys):
    speakers(recorded(*(f"tef_00123_{number}.wav" for number in range(12))))
    assert "warning: 12 speakers for 12 recordings" in capsys.readouterr().out

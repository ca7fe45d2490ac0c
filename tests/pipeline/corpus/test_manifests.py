"""Lists that name the recordings of a corpus and who speaks in them."""

import gzip
import unicodedata

import pytest

from pipeline.common.stage import StageError
from pipeline.corpus import manifests

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
        ("path\tspeaker\n1.wav\ty\n", "1.wav may be a/1.wav or b/1.wav; write longer paths"),
        ("path\tspeaker\na/1.wav\tx\na/1.wav\ty\n", "a/1.wav has several speakers, x and y"),
        ("path\tspeaker\na/1.wav\tx\n./a/1\ty\n", "names a/1.wav twice, as 'a/1.wav' of x and as './a/1' of y; remove"),
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


def test_rows_without_a_speaker_are_said(recorded, speakers, capsys):
    folder = recorded("1.wav", "2.wav", "3.wav")
    (folder / "list.tsv").write_text("path\tspeaker\n1.wav\tx\n2.wav\n3.wav\tNA\n")
    assert speakers(folder, manifest="list.tsv") == {"1.wav": "x", "2.wav": "2.wav", "3.wav": "3.wav"}
    assert "warning: the manifest names no speaker for 2 of 3 recordings, such as '2.wav'" in capsys.readouterr().out


def test_of_two_rows_for_one_file_the_nearer_counts(recorded, speakers, capsys):
    """As where only a part of a corpus was downloaded."""
    folder = recorded("anna/1.wav", "anna/2.wav")
    rows = ["anna/1.wav\tanna", "bela/1.wav\tbela", "bela/2.wav\tbela", "/elsewhere/corpus/anna/2.wav\tanna"]
    (folder / "list.tsv").write_text("path\tspeaker\n" + "\n".join(rows))
    assert speakers(folder, manifest="list.tsv") == {"anna/1.wav": "anna", "anna/2.wav": "anna"}
    assert "names 2 of 4 recordings that are not there, such as 'bela/1.wav'" in capsys.readouterr().out


def test_a_whole_path_is_clear(recorded, speakers):
    folder = recorded("1.wav", "a/1.wav", "b/a/1.wav")
    (folder / "list.tsv").write_text("path\tspeaker\n1.wav\tx\na/1.wav\ty\nb/a/1.wav\tz\n")
    assert speakers(folder, manifest="list.tsv") == {"1.wav": "x", "a/1.wav": "y", "b/a/1.wav": "z"}


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_that_macos_took_apart_is_the_same(recorded, speakers, forms):
    listed, stored = (unicodedata.normalize(form, "కై/మై.wav") for form in forms)
    assert listed != stored
    folder = recorded(stored)
    (folder / "list.tsv").write_text(f"path\tspeaker\n{listed}\tx\n", encoding="utf-8")
    assert speakers(folder, manifest="list.tsv") == {stored: "x"}


def test_a_manifest_that_is_not_there_is_named(recorded, speakers):
    with pytest.raises(StageError, match=r"data\.manifest is 'no\.tsv', but there is no file"):
        speakers(recorded("a/1.wav"), manifest="no.tsv")


def test_thousands_of_equal_names_are_told_apart_by_their_folders_without_comparing_all(monkeypatch):
    paths = [f"top/{number}/audio/1.wav" for number in range(3000)]
    compared = []
    parts = manifests._parts
    monkeypatch.setattr(manifests, "_parts", lambda path: compared.append(path) or parts(path))
    matcher = manifests.Matcher(paths)
    assert [matcher.find(path.removeprefix("top/")) for path in paths] == paths
    assert len(compared) < 5 * len(paths)
    with pytest.raises(LookupError, match=r"1\.wav may be top/0/audio/1\.wav or top/1/audio/1\.wav"):
        matcher.find("other/audio/1.wav")

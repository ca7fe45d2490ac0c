import os

import pytest

from telucodec.audio.folders import has_utf8_name, recordings


def test_one_walk_finds_every_recording_once(tmp_path):
    folder, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    for path in (
        "a/1.wav",
        "a/b/2.MP3",
        "c\u2028d.flac",
        "notes.txt",
        ".hidden/3.wav",
        ".4.wav",
        "._1.wav",
        "__MACOSX/a/1.wav",
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    elsewhere.mkdir()
    (elsewhere / "5.opus").touch()
    (folder / "linked").symlink_to(elsewhere)
    (folder / "a" / "again").symlink_to(folder / "a")
    (folder / "loop").symlink_to(folder)
    found = [path.relative_to(folder).as_posix() for path in recordings(folder)]
    assert found == ["a/1.wav", "a/b/2.MP3", "c\u2028d.flac", "linked/5.opus"]


@pytest.mark.parametrize("name", ["talk.AVI", "talk.wmv", "talk.flv", "talk.mpg", "call.3ga", "call.awb", "call.voc"])
def test_films_and_what_telephones_record_are_recordings(tmp_path, name):
    (tmp_path / name).touch()
    assert recordings(tmp_path) == [tmp_path / name]


def test_names_that_lists_cannot_hold():
    assert has_utf8_name("తెలుగు\u2028.wav")
    assert not has_utf8_name(os.fsdecode(b"caf\xe9.wav"))

import json
import os

import numpy as np
import pytest
import soundfile

from pipeline import discover
from pipeline.common import files, processes
from pipeline.common.stage import StageError
from pipeline.corpus import measuring
from pipeline.corpus.layouts import speaker
from telucodec.audio import reading
from telucodec.errors import AudioError

opened_recording = reading.opened


def run(workspace, change, **changes):
    """Run the stage; the manifest's rows by path."""
    settings = change(workspace, {key.replace("__", "."): value for key, value in changes.items()})
    discover.main(settings)
    return rows()


def rows():
    read = [json.loads(line) for line in files.MANIFEST.read_text(encoding="utf-8").splitlines()]
    return {(row["path"] if row["set"] == "data" else f"evaluation:{row['path']}"): row for row in read}


@pytest.fixture
def oddities(tmp_path, spoken):
    """One recording of every kind that has to come out right, and one of every kind that has to be rejected."""
    folder = tmp_path / "odd"
    (folder / "sub" / "తెలుగు").mkdir(parents=True)
    voice = spoken(1.0)
    soundfile.write(folder / "u8.wav", voice, 16000, subtype="PCM_U8")
    soundfile.write(folder / "float.wav", voice * 0.9, 16000, subtype="FLOAT")
    soundfile.write(folder / "sub" / "తెలుగు" / "ఖేచర_.wav", np.stack([voice, voice], 1) * 0.8, 44100, format="WAVEX")
    soundfile.write(folder / "sub" / "8k.WAV", spoken(1.0, 2, 8000), 8000)
    soundfile.write(folder / "48k.flac", spoken(1.0, 3, 48000), 48000)
    soundfile.write(folder / "short.wav", voice[:800], 16000)
    soundfile.write(folder / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "clipped.wav", np.clip(voice * 20, -1, 1), 16000)
    soundfile.write(folder / "nan.wav", np.where(np.arange(16000) == 5, np.nan, voice), 16000, subtype="FLOAT")
    soundfile.write(folder / "z_copy_of_u8.wav", voice, 16000, subtype="PCM_U8")
    (folder / "zero.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no audio here\n")
    (folder / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n")
    (folder / "cut.wav").write_bytes((folder / "float.wav").read_bytes()[:30])
    (folder / "link.wav").symlink_to(folder / "nowhere.wav")
    (folder / "folder.wav").mkdir()
    (folder / "notes.txt").write_text("not looked at")
    (folder / ".hidden.wav").write_bytes(b"")
    (folder / "sub" / "loop").symlink_to(folder, target_is_directory=True)
    return folder


def test_every_kind_of_file_is_judged_and_none_stops_the_run(workspace, change, oddities):
    found = run(workspace, change, data__root=str(oddities), data__max_rejected_fraction=1.0)
    accepted = {path for path, row in found.items() if row["status"] == "ok"}
    assert accepted == {"u8.wav", "float.wav", "sub/తెలుగు/ఖేచర_.wav", "sub/8k.WAV", "48k.flac"}
    assert {path: row["reason"] for path, row in found.items() if row["status"] == "rejected"} == {
        "short.wav": "too_short",
        "silent.wav": "silent",
        "clipped.wav": "clipped",
        "nan.wav": "not_finite",
        "z_copy_of_u8.wav": "duplicate",
        "zero.wav": "empty",
        "text.wav": "not_audio",
        "pointer.wav": "pointer",
        "cut.wav": "unreadable",
        "link.wav": "unreadable",
    }
    stereo = found["sub/తెలుగు/ఖేచర_.wav"]
    assert (stereo["rate"], stereo["channels"], stereo["frames"]) == (44100, 2, 16000)
    assert found["sub/8k.WAV"]["seconds"] == pytest.approx(1.0)
    assert found["float.wav"]["peak"] == pytest.approx(0.45, abs=0.01)
    report = files.REJECTED.read_text(encoding="utf-8")
    assert all(path in report for path, row in found.items() if row["status"] == "rejected")
    assert "1 other files were ignored" in report
    metrics = json.loads((files.METRICS / "discover.json").read_text())["data"]
    assert metrics["clips"] == 5 and metrics["rejected"]["total"] == 10 and metrics["rejected"]["silent"] == 1
    assert metrics["hours"] * 3600 == pytest.approx(sum(found[path]["seconds"] for path in accepted), rel=1e-4)


def test_clipping_of_8_bit_audio_is_seen(workspace, change, corpus, spoken):
    soundfile.write(corpus / "loud.wav", np.clip(20 * spoken(1.0), None, 1), 16000, subtype="PCM_U8")
    assert run(workspace, change, data__root=str(corpus))["loud.wav"]["reason"] == "clipped"


def test_a_dc_offset_is_no_sound(workspace, change, corpus):
    soundfile.write(corpus / "offset.wav", np.full(16000, 0.2), 16000)
    assert run(workspace, change, data__root=str(corpus))["offset.wav"]["reason"] == "silent"


def test_the_manifest_says_what_a_recording_is(workspace, change, corpus, spoken):
    voice = spoken(1.0)
    soundfile.write(corpus / "cancelled.wav", np.stack([voice, -0.5 * voice], 1), 16000)
    half = np.where(np.arange(4 * 16000) < 32000, 1, -1) * spoken(4.0)
    soundfile.write(corpus / "half.wav", np.stack([half, spoken(4.0)], 1), 16000)
    soundfile.write(corpus / "named.wav", voice[:12000], 16000, format="MP3")
    soundfile.write(corpus / "cut.wav", voice, 16000)
    (corpus / "cut.wav").write_bytes((corpus / "cut.wav").read_bytes()[:20000])
    found = run(workspace, change, data__root=str(corpus))
    assert [found[name]["channel"] for name in ("cancelled.wav", "half.wav", "speaker0/0.wav")] == [0, 0, None]
    assert [found[name]["container"] for name in ("cancelled.wav", "named.wav")] == ["wav", "mp3"]
    assert found["named.wav"]["promised"] == pytest.approx(0.75, abs=0.1)
    assert found["cut.wav"]["reason"] == "truncated"
    assert found["cut.wav"]["detail"] == "ends early: its header promises 1.0 s, and 0.6 s are there; copy it again"


def test_a_file_that_may_not_be_read_is_rejected(workspace, change, corpus, monkeypatch):
    closed = corpus / "speaker3" / "1.wav"
    closed.chmod(0)
    if os.access(closed, os.R_OK):  # root may read everything
        opened = type(closed).open

        def refuse(path, *arguments, **options):
            if path == closed:
                raise PermissionError(13, "Permission denied")
            return opened(path, *arguments, **options)

        monkeypatch.setattr(type(closed), "open", refuse)
    row = run(workspace, change, data__root=str(corpus))["speaker3/1.wav"]
    assert (row["reason"], row["detail"]) == ("unreadable", "Permission denied")


def test_a_folder_that_may_not_be_listed_stops_the_run(workspace, change, corpus, monkeypatch):
    scandir = os.scandir

    def refuse(place):
        if str(place).endswith("speaker3"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StageError, match="speaker3: Permission denied"):
        run(workspace, change, data__root=str(corpus))


def test_a_name_that_is_not_utf8_is_rejected_and_shown(workspace, change, corpus):
    name = os.path.join(os.fsencode(corpus), b"caf\xe9.wav")
    try:
        os.rename(corpus / "speaker3" / "1.wav", name)
    except OSError:  # some file systems refuse such names, so that none can be met there
        return
    row = run(workspace, change, data__root=str(corpus))["caf\\xe9.wav"]
    assert row["reason"] == "name_not_utf8"
    assert "caf\\xe9.wav" in files.REJECTED.read_text(encoding="utf-8")


def test_any_name_is_on_one_line_of_the_lists(workspace, change, corpus):
    for name in ("a\n- `b`.wav", "\u2028\x1b[2J.wav"):
        (corpus / name).write_bytes(b"x")
    discover.main(change(workspace, {"data.root": str(corpus), "data.max_rejected_fraction": 0.5}))
    listed = [line for line in files.REJECTED.read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
    assert [line.split(".wav")[0] for line in listed] == [r"- `` a\n- `b`", r"- `\u2028\x1b[2J"]
    with pytest.raises(StageError, match=r"\n  a\\n- `b`\.wav: not_audio, .*\n  \\u2028\\x1b\[2J\.wav: not_audio"):
        run(workspace, change, data__root=str(corpus), data__max_rejected_fraction=0.0)


def test_links_lead_to_recordings_but_not_in_circles(workspace, change, corpus, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (corpus / "speaker9").rename(elsewhere)
    (corpus / "speaker9").symlink_to(elsewhere, target_is_directory=True)
    (corpus / "a_first_speaker").symlink_to(corpus / "speaker1", target_is_directory=True)
    (corpus / "speaker2" / "up").symlink_to(corpus, target_is_directory=True)
    (corpus / "self.wav").symlink_to("self.wav")
    found = run(workspace, change, data__root=str(corpus))
    assert {path for path, row in found.items() if row["status"] == "rejected"} == {"self.wav"}
    assert set(found) - {"self.wav"} == {f"speaker{speaker}/{take}.wav" for speaker in range(10) for take in range(3)}


def test_too_many_rejected_stop_the_run_with_the_list(workspace, change, oddities):
    with pytest.raises(StageError) as refused:
        run(workspace, change, data__root=str(oddities), data__max_rejected_fraction=0.2)
    message = str(refused.value)
    assert str(files.REJECTED) in message
    assert "10 of 15" in message and "silent.wav: silent" in message and "max_rejected_fraction" in message
    assert files.REJECTED.exists()


def test_a_second_look_opens_only_what_changed(workspace, change, corpus, monkeypatch):
    first = run(workspace, change, data__root=str(corpus))
    opened = []
    measure_item = measuring.measure_item
    monkeypatch.setattr(measuring, "measure_item", lambda item: opened.append(item.file.name) or measure_item(item))
    assert run(workspace, change) == first
    assert opened == []
    changed = corpus / "speaker3" / "1.wav"
    soundfile.write(changed, 0.5 * soundfile.read(changed)[0], 16000)
    second = run(workspace, change)
    assert opened == ["1.wav"]
    assert second["speaker3/1.wav"]["sha256"] != first["speaker3/1.wav"]["sha256"]


def test_a_fault_is_looked_at_again(workspace, change, corpus, monkeypatch):
    def lost_drive(path, name):
        if path.name == "0.wav":
            raise AudioError("Stale file handle")
        return opened_recording(path, name)

    with monkeypatch.context() as patched:
        patched.setattr(reading, "opened", lost_drive)
        found = run(workspace, change, data__root=str(corpus), data__max_rejected_fraction=0.5)
    assert sum(row["reason"] == "unreadable" for row in found.values()) == 10
    assert all(row["status"] == "ok" for row in run(workspace, change).values())


def test_an_interrupted_look_goes_on_where_it_was(workspace, change, corpus, monkeypatch):
    opened = []

    def read(path, name):
        if len(opened) == 12:
            raise KeyboardInterrupt
        opened.append(path)
        return opened_recording(path, name)

    monkeypatch.setattr(reading, "opened", read)
    with pytest.raises(KeyboardInterrupt):
        run(workspace, change, data__root=str(corpus))
    monkeypatch.setattr(reading, "opened", lambda path, name: opened.append(path) or opened_recording(path, name))
    run(workspace, change)
    assert len(opened) == len(set(opened)) == 30


def test_a_damaged_memory_is_forgotten(workspace, change, corpus):
    first = run(workspace, change, data__root=str(corpus))
    for content in ("", "[]", "{}", '{"version": 1'):
        (files.work_folder("discover") / "measured.json").write_text(content)
        assert run(workspace, change) == first


def test_thresholds_apply_to_remembered_files_too(workspace, change, corpus):
    run(workspace, change, data__root=str(corpus))
    found = run(workspace, change, data__min_seconds=1.4, data__max_rejected_fraction=0.5)
    assert {row["reason"] for path, row in found.items() if path.endswith("0.wav")} == {"too_short"}


def test_what_is_evaluated_on_is_not_trained_on(workspace, change, corpus, tmp_path):
    test = tmp_path / "test"
    test.mkdir()
    audio, rate = soundfile.read(corpus / "speaker4" / "2.wav")
    soundfile.write(test / "same.flac", audio, rate)
    found = run(workspace, change, data__root=str(corpus), evaluate__root=str(test))
    assert found["evaluation:same.flac"]["status"] == "ok"
    assert found["speaker4/2.wav"]["reason"] == "duplicate"
    assert "evaluation set" in found["speaker4/2.wav"]["detail"]


def test_the_manifest_does_not_depend_on_the_number_of_processes(workspace, change, tmp_path, spoken, monkeypatch):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(70):
        soundfile.write(many / f"{number}.wav", spoken(0.3, number), 16000)
    texts = []
    for cores in (1, 3):
        monkeypatch.setattr(processes, "usable", lambda cores=cores: cores)
        (files.work_folder("discover") / "measured.json").unlink(missing_ok=True)
        run(workspace, change, data__root=str(many))
        texts.append(files.MANIFEST.read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("root, said", [("nowhere", "no folder"), ("void", "no recording")])
def test_a_wrong_root_is_named_with_the_remedy(workspace, change, root, said):
    (workspace / "void").mkdir()
    (workspace / "void" / "readme.txt").write_text("x")
    with pytest.raises(StageError, match=said) as refused:
        run(workspace, change, data__root=root)
    assert root in str(refused.value)


def test_a_relative_root_outside_counts_from_the_real_repository(workspace, change, corpus, tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    elsewhere = repository / ".dvc" / "tmp" / "exps" / "x"
    elsewhere.mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(repository))
    settings = change(workspace, {"data.root": "../recordings"})
    monkeypatch.chdir(elsewhere)
    discover.main(settings)
    assert len(rows()) == 30


@pytest.mark.parametrize(
    "path, named",
    [
        ("m1/003.wav", "m1"),
        ("anna/day2/7.wav", "anna"),
        ("indicvoices__Urdu_9.flac", "indicvoices__Urdu"),
        ("alone.wav", "alone.wav"),
    ],
)
def test_speaker_by_the_default_pattern(workspace, change, path, named):
    assert speaker(path, change(workspace, {}).data.speaker_pattern) == named

import json
import shutil
import signal
import subprocess
import sys
import time

import hypothesis
import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st

from pipeline import discover, preprocess
from pipeline.common import files, processes
from pipeline.common.sections import Preprocess
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.corpus import plan
from telucodec.audio import decoders

SPLITS = "train", "validation", "test"


def prepared(workspace, change, corpus, **changes):
    settings = change(
        workspace, {"data.root": str(corpus), **{key.replace("__", "."): v for key, v in changes.items()}}
    )
    discover.main(settings)
    preprocess.main(settings)
    return {split: Shards(files.SHARDS / split) for split in SPLITS}


def content():
    return {str(path.relative_to(files.SHARDS)): path.read_bytes() for path in sorted(files.SHARDS.rglob("*.*"))}


def test_no_speaker_stands_on_two_sides_and_nothing_is_lost(workspace, change, corpus):
    splits = prepared(workspace, change, corpus)
    speakers = [{clip["speaker"] for clip in shards.clips} for shards in splits.values()]
    assert all(speakers) and sum(map(len, speakers)) == len(set.union(*speakers)) == 10
    assert sum(map(len, splits.values())) == 30
    summary = json.loads((files.METRICS / "preprocess.json").read_text())
    assert sum(summary[split]["clips"] for split in SPLITS) == 30


def test_a_16_bit_recording_passes_through_unchanged(workspace, change, corpus):
    every_value = np.arange(-32768, 32768).astype(np.int16)
    soundfile.write(corpus / "speaker0" / "every_value.wav", every_value, 16000)
    seen = 0
    for shards in prepared(workspace, change, corpus, data__max_clipped_fraction=1.0).values():
        for number, record in enumerate(shards.clips):
            integers, _ = soundfile.read(corpus / record["source"], dtype="int16")
            assert np.array_equal(shards.clip(number), integers.astype(np.float32) / 32768)
            seen += 1
    assert seen == 31


def clip(splits, source):
    """The only clip of a recording [samples]."""
    (found,) = [
        (shards, number)
        for shards in splits.values()
        for number, of in enumerate(shards.clips)
        if of["source"] == source
    ]
    return found[0].clip(found[1])


def test_names_may_hold_what_other_programs_take_for_the_end_of_a_line(workspace, change, corpus, spoken):
    for name in ("speaker0/a\u2028b.wav", "speaker1/à°\x85à°²à±.wav"):
        soundfile.write(corpus / name, spoken(1.0, 21) * len(name) / 20, 16000)
    splits = prepared(workspace, change, corpus)
    assert np.abs(clip(splits, "speaker0/a\u2028b.wav") - 0.8 * spoken(1.0, 21)).max() < 1e-4
    assert len(clip(splits, "speaker1/à°\x85à°²à±.wav")) == 16000


def test_channels_that_cancel_leave_the_strongest(workspace, change, corpus, spoken):
    voice = spoken(1.0, 33)
    soundfile.write(corpus / "speaker0" / "x.wav", np.stack([-0.8 * voice, voice], 1), 16000)
    assert np.abs(clip(prepared(workspace, change, corpus), "speaker0/x.wav") - voice).max() < 1e-4


@pytest.mark.parametrize("normalize", ["clip", "peak", "none"])
def test_a_recording_read_in_many_pieces_is_the_same(workspace, change, corpus, spoken, monkeypatch, normalize):
    loud = 1.2 * spoken(7.0, 34, 22050)
    soundfile.write(corpus / "speaker0" / "x.wav", np.stack([loud, 0.9 * loud], 1) * 2, 22050, subtype="FLOAT")
    wanted = {"preprocess.normalize": normalize, "preprocess.clip_seconds": 2.0, "data.max_clipped_fraction": 1.0}
    settings = change(workspace, {"data.root": str(corpus), **wanted})
    discover.main(settings)
    made = []
    for block in (decoders.BLOCK, 1000):
        monkeypatch.setattr(decoders, "BLOCK", block)
        folder = workspace / f"by {block}"
        for shard in plan.make_plan(settings):
            preprocess.make_shard(shard, folder, settings.preprocess)
        made.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.pcm*")})
    assert made[0] == made[1] and len(made[0]) == 9


@pytest.mark.parametrize("rate, channels", [(8000, 1), (44100, 2), (48000, 1)])
def test_resampling_keeps_what_is_below_the_lower_nyquist(workspace, change, corpus, rate, channels):
    time_axis = np.arange(rate) / rate
    tone = 0.4 * np.sin(2 * np.pi * 1000 * time_axis)
    soundfile.write(corpus / "speaker0" / "tone.wav", np.stack([tone] * channels, 1), rate)
    splits = prepared(workspace, change, corpus)
    audio = clip(splits, "speaker0/tone.wav")
    assert len(audio) == 16000
    wanted = 0.4 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    assert np.abs(audio - wanted)[800:-800].max() < 2e-3


def test_long_recordings_are_cut_but_test_recordings_stay_whole(workspace, change, corpus, spoken):
    for speaker in range(10):
        soundfile.write(corpus / f"speaker{speaker}" / "long.wav", spoken(3.5, speaker), 16000)
    splits = prepared(workspace, change, corpus, preprocess__clip_seconds=1.5)
    for split, shards in splits.items():
        for speaker in {clip["speaker"] for clip in shards.clips}:
            parts = [n for n, clip in enumerate(shards.clips) if clip["source"] == f"{speaker}/long.wav"]
            assert len(parts) == (1 if split == "test" else 3)
            joined = np.concatenate([shards.clip(number) for number in parts])
            assert np.abs(joined - soundfile.read(corpus / speaker / "long.wav")[0]).max() < 1e-4


@pytest.mark.parametrize("how, peak, gain", [("clip", 1.0, 1.0), ("none", 1.6, 1.0), ("peak", 1.0, 1 / 1.6)])
def test_normalisation(workspace, change, corpus, spoken, how, peak, gain):
    loud = spoken(1.0)
    loud = 1.6 * loud / np.abs(loud).max()
    soundfile.write(corpus / "speaker0" / "loud.wav", loud, 16000, subtype="FLOAT")
    splits = prepared(workspace, change, corpus, preprocess__normalize=how, data__max_clipped_fraction=1.0)
    found = [
        (shards.clip(number), clip)
        for shards in splits.values()
        for number, clip in enumerate(shards.clips)
        if clip["source"] == "speaker0/loud.wav"
    ]
    ((audio, record),) = found
    assert np.abs(audio).max() == pytest.approx(peak, rel=1e-3)
    assert record["gain"] == pytest.approx(gain, rel=1e-3)
    wanted = np.clip(loud, -1, 1) if how == "clip" else loud
    assert np.abs(audio / record["gain"] - wanted).max() < 1e-3


def test_byte_identical_for_any_number_of_processes(workspace, change, corpus, monkeypatch):
    monkeypatch.setattr(plan, "SHARD_SECONDS", 4)
    contents = []
    for cores in (1, 2, 3):
        monkeypatch.setattr(processes, "usable", lambda cores=cores: cores)
        prepared(workspace, change, corpus)
        contents.append(content())
    assert contents[0] == contents[1] == contents[2]
    assert len([name for name in contents[0] if name.endswith(".pcm")]) > 5


SMALL_SHARDS = """
from pipeline import preprocess
from pipeline.common import stage
from pipeline.corpus import plan

if __name__ == "__main__":
    plan.SHARD_SECONDS = 4
    stage.run(preprocess.main)
"""
# What a full disk does to a program, without filling one: no file may grow beyond 20 kB.
FULL_DISK = """
import resource, runpy

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
runpy.run_path("small_shards.py", run_name="__main__")
"""


@pytest.fixture
def long_work(workspace, change, corpus, spoken):
    """Enough recordings to be killed in the middle of, discovered; the command that preprocesses them."""
    loud = spoken(4, 0, 48000)
    for speaker in range(10):
        for take in range(12):
            audio = loud * (1 - (12 * speaker + take) / 200)
            soundfile.write(corpus / f"speaker{speaker}" / f"more{take}.wav", audio, 48000)
    discover.main(change(workspace, {"data.root": str(corpus)}))
    (workspace / "small_shards.py").write_text(SMALL_SHARDS)
    return [sys.executable, "small_shards.py"]


def finished_shards(workspace):
    """Inode of every finished shard in the work folder, by split and name."""
    marks = (workspace / ".work" / "preprocess").rglob("*.pcm.jsonl")
    return {f"{mark.parent.name}/{mark.stem}": mark.with_suffix("").stat().st_ino for mark in marks}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_no_process_goes_on_and_ends_the_same(workspace, long_work, how):
    killed = subprocess.Popen(long_work, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(finished_shards(workspace)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(how)  # to the stage alone: its workers must notice
    killed.communicate(timeout=30)  # returns when the last process that can write to the pipe has ended
    before = finished_shards(workspace)
    assert before and not files.SHARDS.exists()
    subprocess.run(long_work, check=True, timeout=120, stderr=subprocess.DEVNULL)
    resumed = content()
    assert len(before) < len([name for name in resumed if name.endswith(".pcm")])
    assert before == {name: (files.SHARDS / name).stat().st_ino for name in before}
    assert not finished_shards(workspace)
    shutil.rmtree(files.SHARDS)
    subprocess.run(long_work, check=True, timeout=120, stderr=subprocess.DEVNULL)
    assert content() == resumed
    assert sum(len(Shards(files.SHARDS / split)) for split in SPLITS) == 150


def test_a_full_disk_is_said_in_a_sentence_and_nothing_is_half_written(workspace, long_work):
    limited = [sys.executable, "-c", FULL_DISK]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "cannot write the shards" in done.stderr and "Traceback" not in done.stderr
    assert not files.SHARDS.exists() and not list(workspace.rglob("*.pcm"))


def test_runs_at_the_same_time_wait_for_each_other(workspace, long_work, tmp_path_factory, monkeypatch):
    """As two experiments do: workspaces of their own, one work folder."""
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    other = tmp_path_factory.mktemp("experiment")
    shutil.copytree(workspace / "data", other / "data")
    shutil.copy(workspace / "small_shards.py", other)
    shutil.copy(workspace / "params.yaml", other)
    running = [subprocess.Popen(long_work, cwd=folder, stderr=subprocess.DEVNULL) for folder in (workspace, other)]
    assert [run.wait(timeout=120) for run in running] == [0, 0]
    here = content()
    monkeypatch.chdir(other)
    assert content() == here


def test_finished_shards_are_not_made_again(workspace, change, corpus, monkeypatch):
    monkeypatch.setattr(plan, "SHARD_SECONDS", 4)
    settings = change(workspace, {"data.root": str(corpus)})
    discover.main(settings)
    planned = plan.make_plan(settings)
    folder = preprocess._work_folder(planned, settings.preprocess)
    for shard in planned[:-1]:
        preprocess.make_shard(shard, folder, settings.preprocess)
    for shard in planned[:-1]:  # whoever reads these recordings again fails
        for source in shard.sources:
            source.path.unlink()
    preprocess.main(settings)
    assert sum(len(Shards(files.SHARDS / split)) for split in SPLITS) == 30


def test_a_recording_that_changed_since_discover_is_named(workspace, change, corpus):
    settings = change(workspace, {"data.root": str(corpus)})
    discover.main(settings)
    audio, rate = soundfile.read(corpus / "speaker5" / "1.wav")
    soundfile.write(corpus / "speaker5" / "1.wav", audio[:-1], rate)
    with pytest.raises(StageError, match=r"speaker5/1\.wav.*run `dvc repro` again"):
        preprocess.main(settings)
    assert not files.SHARDS.exists()


def test_an_evaluation_folder_is_the_test_split(workspace, change, corpus, tmp_path, spoken):
    test = tmp_path / "other"
    test.mkdir()
    soundfile.write(test / "x.wav", spoken(2.0, 99), 16000)
    before = prepared(workspace, change, corpus)
    train = {clip["source"] for clip in before["train"].clips}
    after = prepared(workspace, change, corpus, evaluate__root=str(test))
    assert [clip["source"] for clip in after["test"].clips] == ["x.wav"]
    assert {clip["source"] for clip in after["train"].clips} == train


def test_an_empty_split_is_refused_with_the_ways_out(workspace, change, corpus):
    with pytest.raises(StageError) as refused:
        prepared(workspace, change, corpus, data__speaker_pattern="^(speaker)")
    for way in ("split_by=recording", "split_seed", "evaluate.root"):
        assert way in str(refused.value)


def test_splitting_by_recording_helps_a_corpus_of_one_speaker(workspace, change, corpus):
    splits = prepared(workspace, change, corpus, data__speaker_pattern="^(speaker)", preprocess__split_by="recording")
    assert all(map(len, splits.values()))


@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
@hypothesis.given(added=st.sets(st.text("abcdeకతమ/ _", min_size=1), max_size=20), seed=st.integers(0, 9))
@pytest.mark.parametrize("split_by", ["speaker", "recording"])
def test_adding_recordings_moves_no_old_one(workspace, change, added, seed, split_by):
    plan_of = change(workspace, {"preprocess.split_seed": seed, "preprocess.split_by": split_by})
    old = [("data", f"old {speaker}", f"old {speaker}/{take}.wav") for speaker in range(60) for take in range(2)]
    new = [("data", speaker, f"{speaker}/{take}.wav") for speaker in added for take in range(3)]

    def planned(rows):
        described = {"status": "ok", "frames": 40000, "rate": 16000, "sha256": ""}
        lines = [
            json.dumps({"set": kind, "speaker": name, "path": path, **described}) for kind, name, path in sorted(rows)
        ]
        files.write_text(files.MANIFEST, "\n".join(lines))
        sources = [(shard.split, source.row) for shard in plan.make_plan(plan_of) for source in shard.sources]
        return {row["path"]: split for split, row in sources}, {(row["speaker"], split) for split, row in sources}

    (before, _), (after, sides) = planned(old), planned(old + new)
    assert before == {path: after[path] for path in before}
    assert len(after) == len(old + new)
    if split_by == "speaker":
        assert len(sides) == 60 + len(added)  # each on one side only


def test_shares_of_the_splits():
    settings = Preprocess(
        sample_rate=16000,
        normalize="clip",
        clip_seconds=10.0,
        validation_fraction=0.2,
        test_fraction=0.1,
        split_by="speaker",
        split_seed=0,
    )
    splits = [plan.split_of(f"speaker {number}", settings) for number in range(5000)]
    assert splits.count("test") / 5000 == pytest.approx(0.1, abs=0.02)
    assert splits.count("validation") / 5000 == pytest.approx(0.2, abs=0.02)

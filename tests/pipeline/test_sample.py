import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from pipeline import sample
from pipeline.common.params import load
from pipeline.common.stage import StageError
from pipeline.corpus import plan
from pipeline.corpus.telugu_text import SENTENCES
from tests.pipeline.conftest import ROOT


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.wav"))}


def test_the_same_speech_every_time(workspace, change):
    settings = change(workspace, {"sample.minutes": 0.3})
    sample.main(settings)
    first = content(workspace / "data" / "sample")
    sample.main(settings)
    assert content(workspace / "data" / "sample") == first
    assert {name.split("/")[0] for name in first} == set(sample.VOICES[:4])


def test_it_is_speech_of_the_asked_length_that_does_not_clip(workspace, change):
    sample.main(change(workspace, {"sample.minutes": 0.4}))
    recordings = [soundfile.read(path) for path in (workspace / "data" / "sample").rglob("*.wav")]
    seconds = sum(len(audio) / rate for audio, rate in recordings)
    assert abs(seconds - 24) < 4 * 4  # every voice ends with a whole sentence, half of one away at most
    assert all(0.02 < abs(audio).max() < 0.99 for audio, _ in recordings)


def test_no_two_voices_are_the_same_and_none_depends_on_the_others(workspace, change):
    sample.main(change(workspace, {"sample.minutes": 0.1, "sample.voices": 16}))
    all_voices = content(workspace / "data" / "sample")
    assert len(set(all_voices.values())) == len(all_voices) == 16
    loudness = [np.std(soundfile.read(workspace / "data" / "sample" / name)[0]) for name in all_voices]
    assert max(loudness) > 1.5 * min(loudness)
    sample.main(change(workspace, {"sample.minutes": 0.025, "sample.voices": 4}))
    assert content(workspace / "data" / "sample").items() <= all_voices.items()


def test_a_voice_that_the_package_lacks_is_named():
    with pytest.raises(StageError, match="no voice variant nobody"):
        sample.Speaker("nobody", rate=150, pitch=50, pitch_range=50)


def test_it_speaks_from_a_folder_far_down(tmp_path):
    """espeak-ng has room for 160 bytes of path and ends the process when they are not enough."""
    script = """
import sys
import espeakng_loader
from pathlib import Path
from pipeline.sample import Speaker

far = Path(sys.argv[1], *["far" * 20] * 4)
far.mkdir(parents=True)
(far / "espeak-ng-data").symlink_to(espeakng_loader.get_data_path())
espeakng_loader.get_data_path = lambda: str(far / "espeak-ng-data")
assert len(Speaker("m1", rate=150, pitch=50, pitch_range=50).say("నమస్కారం")) > 5000
"""
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True, cwd=ROOT, timeout=120)


def test_the_default_voices_fill_all_splits():
    settings = load(ROOT / "params.yaml")
    splits = [plan.split_of(voice, settings.preprocess) for voice in sample.VOICES]
    assert set(splits[:4]) == {"train", "validation", "test"}
    del splits[settings.sample.voices :]
    assert (splits.count("train"), splits.count("validation"), splits.count("test")) == (10, 2, 2)


# What a full disk does to a program, without filling one.
FULL_DISK = """
import resource

from pipeline import sample
from pipeline.common import stage

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    stage.run(sample.main)
"""


def test_a_full_disk_is_named_and_leaves_nothing_half_written(workspace):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    (workspace / "full_disk.py").write_text(FULL_DISK)
    ended = subprocess.run([sys.executable, "full_disk.py"], capture_output=True, text=True, env=environment)
    assert ended.returncode == 1 and "\nerror: no space left in " in "\n" + ended.stderr
    assert list((workspace / "data").rglob("*.wav")) == []


def test_nothing_is_spoken_when_there_are_recordings(workspace, change, capsys):
    sample.main(change(workspace, {"data.root": "recordings"}))
    assert list((workspace / "data" / "sample").iterdir()) == []
    assert "the built-in speech is not needed" in capsys.readouterr().out


def test_sentences_are_telugu_and_different():
    assert len(set(SENTENCES)) == len(SENTENCES) >= 60
    assert all(any("\u0c00" <= letter <= "\u0c7f" for letter in sentence) for sentence in SENTENCES)

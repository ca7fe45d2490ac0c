import soundfile

from pipeline import preprocess, sample
from pipeline.params import load
from pipeline.telugu_text import SENTENCES
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
    assert 24 <= seconds < 24 + 4 * 8  # the last sentence of each voice is finished
    assert all(0.02 < abs(audio).max() < 0.99 for audio, _ in recordings)


def test_the_default_voices_fill_all_splits():
    settings = load(ROOT / "params.yaml")
    splits = [preprocess.split_of(voice, settings.preprocess) for voice in sample.VOICES[: settings.sample.voices]]
    assert (splits.count("train"), splits.count("validation"), splits.count("test")) == (10, 2, 2)
    assert {preprocess.split_of(voice, settings.preprocess) for voice in sample.VOICES[:4]} == {"train", "validation", "test"}


def test_nothing_is_spoken_when_there_are_recordings(workspace, change, capsys):
    sample.main(change(workspace, {"data.root": "recordings"}))
    assert list((workspace / "data" / "sample").iterdir()) == []
    assert "no built-in speech needed" in capsys.readouterr().out


def test_sentences_are_telugu_and_different():
    assert len(set(SENTENCES)) == len(SENTENCES) >= 60
    assert all(any("\u0c00" <= letter <= "\u0c7f" for letter in sentence) for sentence in SENTENCES)

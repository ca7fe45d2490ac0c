"""Copies of speech in another form are found in another split; other sentences of the same voice are not."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from pipeline import discover, preprocess
from pipeline.common import files
from pipeline.corpus import fingerprints, near_duplicates, plan
from pipeline.corpus.near_duplicates import Stored
from pipeline.sample import _speak_voice
from telucodec.audio.reading import read
from tests.codec.audio import recordings

RATE = 16000


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """Different Telugu sentences of one voice, int16."""
    folder = tmp_path_factory.mktemp("voice") / "m1"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:  # espeak-ng keeps state
        process.submit(_speak_voice, (0, "m1", 60.0, folder)).result()
    return [read(path, RATE) for path in sorted(folder.iterdir())]


def coded(folder, audio, codec, container, rate=RATE, **options):
    """A sentence after a lossy codec."""
    resampled = soxr.resample(audio / 32768, RATE, rate)
    return read(recordings.write(folder / "coded", resampled, rate, codec, container, **options), RATE)


CHANGES = {
    "quieter": lambda folder, audio: (audio * 0.2).astype(np.int16),
    "without its ends": lambda folder, audio: audio[9000:-5001],
    "telephone": lambda folder, audio: soxr.resample(soxr.resample(audio, RATE, 8000), 8000, RATE),
    "MP3": lambda folder, audio: coded(folder, audio, "libmp3lame", "mp3", bit_rate=32000),
    "Opus": lambda folder, audio: coded(folder, audio, "libopus", "ogg", 48000, bit_rate=12000),
    "quieter Opus without its beginning": lambda folder, audio: coded(
        folder, audio[12345:] * 0.3, "libopus", "ogg", 48000, bit_rate=16000
    ),
    "after a minute of something else": lambda folder, audio: np.concatenate([noise(60 * RATE), audio]),
}


def noise(samples):
    return np.random.default_rng(0).integers(-300, 300, samples).astype(np.int16)


def stored(folder, **splits):
    """A shard of each split, from lists of int16 [samples]; the path of a recording is `SPLIT NUMBER`."""
    shards = []
    for split, audios in splits.items():
        path, start, shard = Path(folder, f"{split}.pcm"), 0, []
        path.write_bytes(np.concatenate(audios).astype("<i2").tobytes())
        for number, audio in enumerate(audios):
            shard.append(Stored(split, f"{split} {number}", path, start, len(audio)))
            start += len(audio)
        near_duplicates.write_landmarks(path, [len(audio) for audio in audios])
        shards.append(shard)
    return shards


def names(pairs):
    return [(pair.heard.path, pair.held_out.path) for pair in pairs]


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_in_another_form_is_found_and_other_sentences_of_the_voice_are_not(tmp_path, sentences, change):
    copies = [CHANGES[change](tmp_path, audio) for audio in sentences[:3]]
    shards = stored(tmp_path, train=sentences, test=copies)
    assert names(near_duplicates.find(shards)) == [(f"train {number}", f"test {number}") for number in range(3)]


def test_different_sentences_of_one_voice_are_different(tmp_path, sentences):
    third = len(sentences) // 3
    shards = stored(
        tmp_path, train=sentences[:third], validation=sentences[third : 2 * third], test=sentences[2 * third :]
    )
    assert not near_duplicates.find(shards)


def test_recordings_of_one_split_are_not_compared_and_those_of_validation_and_test_are(tmp_path, sentences):
    first, second, third = sentences[:3]
    shards = stored(tmp_path, train=[first, first], validation=[second, third], test=[second, second])
    assert names(near_duplicates.find(shards)) == [("validation 0", "test 0"), ("validation 0", "test 1")]


def test_memory_for_a_part_of_the_landmarks_is_enough(tmp_path, sentences, monkeypatch):
    splits = {"train": sentences[:2], "validation": sentences[:1], "test": sentences[1:2]}
    whole = names(near_duplicates.find(stored(tmp_path, **splits)))
    monkeypatch.setattr(near_duplicates, "HELD", 1)
    assert names(near_duplicates.find(stored(tmp_path, **splits))) == whole
    assert whole == [("train 1", "test 0"), ("train 0", "validation 0")]


@pytest.mark.parametrize("length", [0, 1, 1023, 1024, 5000])
def test_silence_and_recordings_without_a_whole_window_have_no_landmarks(length):
    assert fingerprints.landmarks(np.zeros(length, np.int16), [length]).shape == (3, 0)


def test_landmarks_do_not_depend_on_what_stands_beside_a_recording(sentences):
    one, other = sentences[:2]
    apart = [fingerprints.landmarks(audio, [len(audio)])[1:] for audio in (one, other)]
    numbers, *marks = fingerprints.landmarks(np.concatenate([one, noise(900), other]), [len(one), 900, len(other)])
    for number, expected in zip((0, 2), apart, strict=True):
        np.testing.assert_array_equal(np.array(marks)[:, numbers == number], expected)
    assert not (numbers == 1).any()


def test_processes_find_what_one_finds(tmp_path, sentences):
    splits = {"train": sentences[:4], "validation": sentences[2:3], "test": sentences[3:5]}
    shards = stored(tmp_path, **splits)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert near_duplicates.find(shards, pool.map) == near_duplicates.find(shards) != []


def test_preprocess_warns_of_them_and_lists_them(workspace, change, sentences, capsys):
    settings = change(workspace, {"data.root": "recordings"})
    for number, audio in enumerate(sentences[:20]):
        path = Path("recordings", f"speaker{number % 10}", f"{number // 10}.wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, audio, RATE)
    speakers = {plan.split_of(f"speaker{number}", settings.preprocess): number for number in range(10)}
    copy = Path("recordings", f"speaker{speakers['test']}", "copy.mp3")
    recordings.write(copy, 0.5 * sentences[speakers["train"]] / 32768, RATE, "libmp3lame", "mp3")
    discover.main(settings)
    preprocess.main(settings)
    pair = f"`speaker{speakers['test']}/copy.mp3` (test) sounds like `speaker{speakers['train']}/0.wav` (train)"
    assert near_duplicates.listed() == [pair] and f"- {pair}\n" in files.NEAR_DUPLICATES.read_text()
    assert f"warning: {pair}; remove one of the two" in capsys.readouterr().out
    copy.unlink()
    discover.main(settings)
    preprocess.main(settings)
    assert near_duplicates.listed() == [] and "sound" not in capsys.readouterr().out

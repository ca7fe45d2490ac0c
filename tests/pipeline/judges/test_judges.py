"""What judges say must follow from what one hears; and no training may hear a judge."""

import math
from typing import get_args

import numpy as np
import pytest

from pipeline import judges
from pipeline.common.sections import Evaluate
from tests.source_files import imported_modules, python_files, reached

MODELS = [name for name in judges.JUDGES if name != "levels"]


@pytest.fixture(scope="module")
def verdicts(sentence):
    """Of all judges, about a sentence itself and about the same with noise at 5 dB."""
    noise = np.random.default_rng(0).standard_normal(len(sentence)) * sentence.std() * 10 ** (-5 / 20)
    noisy = (sentence + noise).astype(np.float32)
    return judges.judge(MODELS, sentence, sentence), judges.judge(MODELS, sentence, noisy)


def test_every_measure_has_a_value_and_a_title(verdicts):
    titles = judges.measures(MODELS)
    assert list(titles) == ["dnsmos_ovrl", "dnsmos_p808", "distillmos", "visqol", "speaker_similarity"]
    for verdict in verdicts:
        assert verdict.keys() == titles.keys() and all(map(math.isfinite, verdict.values()))


@pytest.mark.parametrize("measure", judges.measures(MODELS))
def test_noise_lowers_every_judge(verdicts, measure):
    clean, noisy = verdicts
    assert noisy[measure] < clean[measure] - 0.2


def test_speech_is_its_own_speaker_and_most_similar_to_itself(verdicts):
    clean, _ = verdicts
    assert clean["speaker_similarity"] == pytest.approx(1, abs=1e-5)
    assert clean["visqol"] > 4


def test_opinion_scores_lie_between_one_and_five(verdicts):
    for verdict in verdicts:
        assert all(1 <= verdict[measure] <= 5 for measure in verdict if measure != "speaker_similarity")


def test_judges_hear_what_a_16_bit_file_holds(spoken):
    audio = spoken(1.0)
    louder, rounded = 3 * audio, np.clip(np.round(3 * audio * 32768), -32768, 32767).astype(np.float32) / 32768
    assert judges.judge(["levels"], audio, louder) == judges.judge(["levels"], audio, rounded)


@pytest.mark.parametrize("seconds", [0.01, 0.4])
def test_a_clip_too_short_to_judge_is_undefined(spoken, seconds):
    audio = spoken(seconds)
    assert all(map(math.isnan, judges.judge(judges.JUDGES, audio, audio).values()))


def test_visqol_is_undefined_where_it_finds_no_speech_to_compare(spoken):
    audio = spoken(0.5)
    assert math.isnan(judges.judge(["visqol"], audio, 0.5 * audio)["visqol"])


def test_silence_is_undefined(spoken):
    audio = spoken(1.0)
    for pair in ((audio, 0 * audio), (0 * audio, audio)):
        assert all(map(math.isnan, judges.judge(judges.JUDGES, *pair).values()))


@pytest.mark.parametrize(
    ("decoded", "says"),
    [(np.zeros(99), "equal length"), (np.zeros((1, 16000)), "equal length"), (np.full(16000, np.nan), "NaN")],
)
def test_audio_that_cannot_be_judged(spoken, decoded, says):
    with pytest.raises(ValueError, match=says):
        judges.judge(["levels"], spoken(1.0), decoded.astype(np.float32))


def test_an_unknown_judge():
    with pytest.raises(
        judges.JudgeError, match="no judge 'pesq'; there are dnsmos, distillmos, visqol, speaker, levels"
    ):
        judges.require(["dnsmos", "pesq"])


@pytest.mark.parametrize("name", MODELS)
def test_a_judge_that_is_not_installed_says_what_to_install(monkeypatch, name):
    judge = judges.JUDGES[name]
    monkeypatch.setitem(judges.JUDGES, name, judge._replace(modules=("math", "not_there")))
    with pytest.raises(
        judges.JudgeError, match=rf"judge {name} needs not_there, not installed here: pip install '?telucodec"
    ):
        judges.require([name])


def test_clips_to_judge_are_spread_evenly():
    assert judges.sample(19, 3) == {0, 9, 18}
    assert judges.sample(2, 3) == {0, 1}
    assert judges.sample(5, 1) == {0}


def test_params_know_the_judges():
    names = get_args(get_args(Evaluate.model_fields["judges"].annotation)[0])
    assert list(names) == MODELS


def test_no_training_hears_a_judge():
    files = reached(["pipeline/train.py", *python_files("pipeline/training"), *python_files("codec")])
    assert not {file for file in files if file.startswith("pipeline/judges")}
    packages = {module for judge in judges.JUDGES.values() for module in judge.modules}
    assert not {
        module for file in files for module in imported_modules(file) if module.split(".")[0] in packages - {"librosa"}
    }

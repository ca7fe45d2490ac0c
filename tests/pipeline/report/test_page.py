"""What the page of a run holds."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.common import files
from pipeline.common.stage import StageError
from pipeline.common.yaml12 import parse
from pipeline.report import __main__ as report
from telucodec.operating_point import OperatingPoint
from tests.pipeline.report.conftest import SECONDS


class Page(HTMLParser):
    """Tags with their attributes, and the text without those of style and script."""

    def __init__(self, folder: Path):
        super().__init__()
        self.source = (folder / report.PAGE).read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self._within = ""
        self.feed(self.source)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._within = tag

    def handle_data(self, data):
        if self._within not in {"style", "script"}:
            self.words.append(data)


@pytest.fixture(scope="module")
def page(run):
    return Page(run[0])


def test_the_page_needs_nothing_outside_itself(page):
    linked = [value for _, attributes in page.tags for name, value in attributes.items() if name in {"src", "href"}]
    assert linked and all(value.startswith(("data:", "#")) for value in linked)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", page.source)


def test_every_clip_to_hear_is_the_audio_of_its_codec(page):
    players = [attributes["src"] for tag, attributes in page.tags if tag == "audio"]
    original, *_ = sounds = [
        soundfile.read(io.BytesIO(base64.b64decode(player.split(",")[1])), dtype="float32") for player in players
    ]
    versions = (
        len(sounds) // 3
    )  # the original, tokens, waveform with perception beside Opus, waveform at 15 dB beside Opus
    assert versions == 6
    assert all(rate == 16000 and len(audio) == round(SECONDS * 16000) for audio, rate in sounds)
    noise = original[0] - sounds[versions - 2][0]
    assert 10 * np.log10(np.square(original[0]).sum() / np.square(noise).sum()) == pytest.approx(15, abs=0.2)
    assert len([tag for tag, attributes in page.tags if tag == "img"]) == len(players)


def test_best_median_and_worst_are_those_by_snr_and_undefined_clips_stay_out(page):
    clips = re.findall(r"(Best|Median|Worst) (\S+), 0\.6 s", page.text)
    assert clips == [("Best", "c.wav"), ("Median", "<i>d.wav"), ("Worst", "a.wav")]


def test_other_codecs_and_the_bound_stand_beside_ours(page):
    for name in ("Tokens", "Waveform, perception 1", "Opus", "Bound, variable rate"):
        assert f">{name}</span>" in page.source


def test_what_judges_say_of_the_original_and_of_every_codec(page):
    section = page.text[page.text.index("Judges Judges are") : page.text.index("Listen The best")]
    assert "Judges heard 3 of the clips" in section
    assert section[section.index("kbit/s DistillMOS") :].strip() == (
        "kbit/s DistillMOS PESQ-WB 4000-8000 Hz Original 3.40 "
        "Tokens, 4 codebooks 3.00 1.25 2.00 -6.2 Waveform, 6.5 kbit/s, perception 1 3.00 2.75 2.00 -6.2"
    )


def test_pesq_of_tokens_stands_only_beside_judges(page):
    assert re.search(r"Tokens, 4 codebooks 3\.00 7\.50 – 0\.80", page.text)  # kbit/s, SNR, PESQ-WB, STOI
    assert re.search(r"Waveform, 15 dB SNR 2\.00 5\.00 2\.00 0\.80", page.text)
    caption = r'<figcaption>(Tokens|Waveform|Opus)[^<]*</figcaption>\s*<p class="note">[^<]* dB · (PESQ|STOI)'
    captions = re.findall(caption, page.source)
    assert len(captions) == 15 and all((name == "Tokens") == (then == "STOI") for name, then in captions)
    pesq = page.source[page.source.index("<figcaption>PESQ-WB<") : page.source.index("<figcaption>STOI<")]
    assert ">Opus</span>" in pesq and "Tokens" not in pesq


def test_recordings_in_different_splits_that_sound_the_same_are_warned_of(page):
    assert "Warning: `<b>.mp3` (test) sounds like `a.wav` (train); remove one of the two" in page.text


def test_every_plot_of_dvc_yaml_is_drawn(run, page):
    declared = [title for one in parse((run[0] / "dvc.yaml").read_text())["plots"] for title in one]
    drawn = [title for title in declared if f"<figcaption>{title}</figcaption>" in page.source]
    assert drawn == [title for title in declared if title != "SNR by rate"]  # which is at the top, with other codecs
    assert sum(tag == "svg" for tag, _ in page.tags) == 3 + len(drawn)


def test_what_changed_since_the_last_commit(page):
    assert "the run before" in page.text
    assert re.search(r"loss\.mse_weight 0\.5 0\.125 -0\.375", page.text)
    assert re.search(r"tokens_4\.snr 6 7\.5 \+1\.5", page.text)
    assert "+1.5 since the last commit" in page.text


def test_gates_codebooks_rejected_files_and_parameters(page):
    assert "end, epoch 15" in page.text and "missed" in page.text
    assert "24 (75 %), 25.0 % dead" in page.text
    assert "`<script>.wav`: RMS -80 dBFS" in page.text
    assert "mse_weight: 0.125" in page.text


def test_what_is_missing_is_named_and_the_old_page_stays(run, monkeypatch):
    folder, settings = run
    monkeypatch.chdir(folder)
    before = (folder / report.PAGE).read_bytes()
    monkeypatch.setattr(files, "EVALUATION", Path("nowhere"))
    with pytest.raises(StageError, match=r"nowhere/tokens\.csv.*dvc"):
        report.main(settings)
    assert (folder / report.PAGE).read_bytes() == before


@pytest.mark.parametrize(
    "names, played",
    [
        (
            ["tokens_1", "tokens_3", "snr_15", "snr_37", "perception_1_kbps_6.5"],
            ["tokens_3", "perception_1_kbps_6.5", "snr_37"],
        ),
        (["snr_15", "snr_25"], ["snr_25"]),
        (["tokens_kbps_2"], ["tokens_kbps_2"]),
    ],
)
def test_the_points_to_play_suit_any_set_of_operating_points(names, played):
    points = [OperatingPoint.parse(name) for name in names]
    assert [point.name for point in report.points_to_play(points)] == played

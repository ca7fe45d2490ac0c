"""What stands in the tables, from files as the stages before leave them; codecs themselves: tests/pipeline/peers."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeline import compare
from pipeline.common import files, params
from pipeline.common.shards import Shards
from pipeline.results import bjontegaard
from tests.pipeline.conftest import ROOT


class Clips(Shards):
    """Clips that need no files."""

    def __init__(self, audio):
        self.clips = [{"clip": f"{number}.wav", "source": "", "speaker": ""} for number in range(len(audio))]
        self._clips = audio

    def __len__(self):
        return len(self._clips)

    def clip(self, number):
        return self._clips[number]


@pytest.fixture
def folder(tmp_path, monkeypatch, spoken):
    """Evaluations of both models on two clips, and Opus as the only other codec."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare.peers, "installed", lambda: ["opus"])
    monkeypatch.setitem(compare.peers.PEERS, "opus", compare.peers.PEERS["opus"]._replace(rates=(6, 16)))
    monkeypatch.setattr(compare, "workers", lambda: ThreadPoolExecutor(1))
    monkeypatch.setattr(bjontegaard, "RESAMPLES", 100)
    monkeypatch.setattr(compare, "Shards", lambda path: Clips([spoken(1.5, seed) for seed in range(2)]))
    for model, points in (
        ("waveform", ("snr_15", "snr_37", "perception_1_kbps_6.5", "perception_1_kbps_10")),
        ("tokens", ("tokens_1", "tokens_2")),
    ):
        rows = [
            {
                "clip": f"{clip}.wav",
                "point": point,
                "kbps": 1.0 + place,
                "snr": 3.0 + 17 * place,
                "pesq_wb": 1.0 + 3 * (place % 2),
            }
            for clip in range(2)
            for place, point in enumerate(points)
        ]
        rows += [{"clip": f"{clip}.wav", "point": "original"} for clip in range(2)]
        files.write_csv(files.EVALUATION / f"{model}.csv", rows, list(rows[0]))
    return tmp_path


@pytest.fixture
def settings():
    """The parameters without judges that are slow to load."""
    all_of_them = params.load(ROOT / "params.yaml")
    evaluated = all_of_them.evaluate.model_copy(update={"judges": ["speaker"], "judged_clips": 1})
    return all_of_them.model_copy(update={"evaluate": evaluated})


def test_means_and_savings_are_written_and_printed(folder, settings, capsys):
    compare.main(settings)
    table = json.loads((folder / "metrics/peers.json").read_text())
    assert list(table) == ["opus"] and len(table["opus"]) == 2
    low, high = table["opus"]
    assert low["kbps"] < high["kbps"] and low["snr"] < high["snr"] and low["pesq_wb"] < high["pesq_wb"]
    found = json.loads((folder / "metrics/compare.json").read_text())
    result = found["waveform at equal SNR, against opus"]
    assert result["low"] <= result["percent"] <= result["high"] < -50
    assert result["quality_from"] == pytest.approx(low["snr"], abs=0.01)
    shown = capsys.readouterr().out
    assert "waveform at equal SNR, against opus: -" in shown and "% bits" in shown
    rows = (folder / "data/evaluation/peers.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2


def test_judges_hear_opus_as_they_hear_ours(folder, settings):
    compare.main(settings)
    low, high = json.loads((folder / "metrics/peers.json").read_text())["opus"]
    assert 0.5 < low["speaker_similarity"] < 1 and "speaker_similarity" not in high
    assert low["level_bias_4000"] < high["level_bias_4000"] + 1


def test_curves_that_do_not_meet_are_named(folder, settings, monkeypatch):
    point = {"codec": "opus", "si_sdr": 1.0, "pesq_wb": 1.0, "stoi": 1.0}
    monkeypatch.setattr(
        compare,
        "score",
        lambda shards, evaluate: [
            {**point, "asked_kbps": rate, "clip": f"{clip}.wav", "kbps": rate, "snr": rate}
            for rate in (6, 16)
            for clip in (0, 1)
        ],
    )
    rows = files.EVALUATION / "tokens.csv"
    rows.write_text(rows.read_text().replace(",3.0,", ",93.0,").replace(",20.0,", ",99.0,"))
    compare.main(settings)
    found = json.loads((folder / "metrics/compare.json").read_text())
    assert "no quality in common" in found["tokens at equal SNR, against opus"]["undefined"]


def test_dense_and_sparse_clips_are_told_apart():
    dense = np.random.default_rng(0).normal(0, 0.1, 9600).astype(np.float32)
    sparse = np.concatenate([0.001 * dense, dense, np.zeros(4800, np.float32)])  # 40 dB lower is a pause
    assert compare.speech_share(dense) == 1 and compare.speech_share(sparse) == pytest.approx(0.4)
    found = compare.kinds(Clips([dense] * 3 + [sparse] * 3))
    assert found[", dense speech"] == {"0.wav", "1.wav", "2.wav"} and len(found[", sparse speech"]) == 3
    assert len(found[""]) == 6 and list(compare.kinds(Clips([dense] * 3 + [sparse] * 2))) == ["", ", dense speech"]
    assert list(compare.kinds(Clips([dense] * 4))) == [""]
    assert compare.speech_share(np.zeros(16_000)) == 0


def test_each_kind_of_speech_has_its_saving(folder, settings, monkeypatch):
    monkeypatch.setattr(compare, "kinds", lambda shards: {"": {"0.wav", "1.wav"}, ", dense speech": {"1.wav"}})
    compare.main(settings)
    found = json.loads((folder / "metrics/compare.json").read_text())
    name = "waveform at equal SNR, against opus"
    assert found[f"{name}, dense speech"]["percent"] < 0 and found[f"{name}, dense speech"] != found[name]

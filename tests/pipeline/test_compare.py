"""What stands in the tables, from files as the stages before leave them; codecs themselves: test_peers.py."""

import json

import pytest

from pipeline import bjontegaard, compare, files, params
from pipeline.shards import Shards
from tests.pipeline.conftest import ROOT


class Clips(Shards):
    """Two clips that need no files."""

    def __init__(self, spoken):
        self.clips = [{"clip": f"{number}.wav"} for number in range(2)]
        self._audio = [spoken(1.5, seed) for seed in range(2)]

    def __len__(self):
        return 2

    def clip(self, number):
        return self._audio[number]


@pytest.fixture
def folder(tmp_path, monkeypatch, spoken):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare, "RATES", {"opus": (6, 16), "speex": (), "codec2": ()})
    monkeypatch.setattr(bjontegaard, "RESAMPLES", 100)
    monkeypatch.setattr(compare, "Shards", lambda path: Clips(spoken))
    for model, points in (
        ("waveform", ("snr_5", "snr_40", "shaped_1", "shaped_9")),
        ("tokens", ("codebooks_1", "codebooks_2")),
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
        files.write_csv(files.EVALUATION / f"{model}.csv", rows, list(rows[0]))
    return tmp_path


def test_means_and_savings_are_written_and_printed(folder, capsys):
    compare.main(params.load(ROOT / "params.yaml"))
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


def test_curves_that_do_not_meet_are_named(folder, monkeypatch):
    point = {"codec": "opus", "si_sdr": 1.0, "pesq_wb": 1.0, "stoi": 1.0}
    monkeypatch.setattr(
        compare,
        "score",
        lambda shards: [
            {**point, "asked_kbps": rate, "clip": f"{clip}.wav", "kbps": rate, "snr": rate}
            for rate in (6, 16)
            for clip in (0, 1)
        ],
    )
    rows = files.EVALUATION / "tokens.csv"
    rows.write_text(rows.read_text().replace(",3.0,", ",93.0,").replace(",20.0,", ",99.0,"))
    compare.main(params.load(ROOT / "params.yaml"))
    found = json.loads((folder / "metrics/compare.json").read_text())
    assert "no quality in common" in found["tokens at equal SNR, against opus"]["undefined"]

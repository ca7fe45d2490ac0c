"""Gates: targets met or missed, and what the speech allows."""

import json

import pytest

from pipeline import gates
from pipeline.common import files, params

BOUND = {
    "fixed_rate": [{"kbps": 2.0, "snr": 8.0}, {"kbps": 4.0, "snr": 12.0}],
    "charged": [{"kbps": 2.0, "snr": 10.0}, {"kbps": 4.0, "snr": 20.0}, {"kbps": 8.0, "snr": 40.0}],
}


def history(epochs: int, **last: float) -> list[dict[str, float]]:
    rows = [
        {"epoch": epoch, "snr_1": 1.0, "snr": 5.0 + epoch, "loss": 0.5, "range_ratio": 0.8} for epoch in range(epochs)
    ]
    rows[0]["train_total"] = ""  # before the first step
    rows[-1].update(last, train_total=0.5)
    return rows


@pytest.fixture
def settings(workspace):
    files.write_json(files.METRICS / "bound.json", BOUND)
    return params.load()


def run(settings, rows):
    files.write_csv(files.PLOTS / "tokens" / "history.csv", rows, list(rows[0]))
    gates.main(settings)
    return json.loads((files.METRICS / "gates.json").read_text()), files.GATES.read_text()


def test_each_measure_is_met_or_missed_at_its_gate(settings):
    found, page = run(settings, history(13, range_ratio=0.97))
    verdicts = {
        when: {name: gate["met"] for name, gate in judged.items()} for when, judged in found.items() if "epoch" in when
    }
    assert verdicts == {
        "epoch 0": {"snr": True, "loss": True, "range_ratio": True},
        "epoch 10": {"snr": False, "loss": False, "range_ratio": False},
        "end, epoch 12": {"snr": False, "loss": False, "range_ratio": True},
    }
    assert (found["met"], found["missed"]) == (4, 5)
    assert found["epoch 10"]["snr"] == {"value": 15.0, "wanted": 20.0, "met": False}
    assert page.count("**missed**") == 5 and page.count("| met |") == 4


def test_the_rate_that_a_missed_snr_needs_is_stated(settings):
    _, page = run(settings, history(13))
    assert "20 dB needs about 4.0 kbit/s" in page and "30 dB needs about 6.0 kbit/s" in page
    _, page = run(settings, history(13, snr=31.0))
    assert "20 dB needs" in page and "30 dB needs" not in page


def test_a_run_that_ends_early_has_no_middle(settings):
    found, _ = run(settings, history(5))
    assert [when for when in found if "epoch" in when] == ["epoch 0", "end, epoch 4"]


def test_what_the_speech_allows_is_read_off_the_curve():
    assert gates.interpolated(BOUND["charged"], "kbps", 3.0, "snr") == pytest.approx(15.0)
    assert gates.interpolated(BOUND["charged"], "snr", 99.0, "kbps") == 8.0

import pytest

from pipeline.common import files, params
from pipeline.results import model_card
from tests.pipeline.conftest import ROOT

CODED = {"kbps": 3.0, "snr": 5.0, "pesq_wb": 2.25}
HEARD = {"visqol": 1.5, "judged_clips": 3}


@pytest.mark.parametrize(("model", "point"), [("tokens", "tokens_8"), ("waveform", "snr_30")])
def test_the_card_shows_what_judges_say(tmp_path, monkeypatch, model, point):
    settings = params.load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    snr = {f"snr_{settings.quantizer.num_codebooks}": 7.0}
    trained = {"parameters": 1e6, "epochs": 3, "before_training": snr, "after_training": snr}
    found = {"hours": 1.0, "clips": 9, "speakers": 3, "rejected": {"total": 0}}
    for name, content in {
        "discover": {"data": found},
        "enhancer/train": {
            "parameters": 9e5,
            "after_training": {"mel": 0.25, "plain_mel": 0.5, "snr": 16.0, "plain_snr": 13.0},
        },
        "preprocess": {"train": {"minutes": 9.0, "speakers": 2}},
        f"{model}/train": trained,
        f"{model}/evaluate": {"clips": 9, "original": HEARD, point: CODED | HEARD},
    }.items():
        files.write_json(files.METRICS / f"{name}.json", content)
    card = model_card.render(settings, model).splitlines()
    start = card.index("| | kbit/s | ViSQOL | PESQ-WB |")
    assert card[start + 2] == "| original |  | 1.50 |  |"
    assert card[start + 3].endswith(" | 3.00 | 1.50 | 2.25 |")
    assert ("| | kbit/s | SNR dB | PESQ-WB |" in card) == (model == "waveform")
    enhanced = "from 0.500 to 0.250 Np, and the SNR from 13.00 to 16.00 dB"
    assert (enhanced in " ".join(card)) == (model == "waveform")

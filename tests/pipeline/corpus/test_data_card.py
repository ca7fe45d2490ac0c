import json

import numpy as np
import soundfile

from pipeline import discover, preprocess
from pipeline.common import files


def card(workspace, change, corpus, **changes):
    settings = change(workspace, {"data.root": str(corpus), **changes})
    discover.main(settings)
    preprocess.main(settings)
    return files.DATA_CARD.read_text(encoding="utf-8")


def test_the_card_agrees_with_the_metrics(workspace, change, corpus):
    text = card(workspace, change, corpus)
    found = json.loads((files.METRICS / "discover.json").read_text())["data"]
    splits = json.loads((files.METRICS / "preprocess.json").read_text())
    assert f"{found['hours']:.2f} hours, {found['clips']} recordings, {found['speakers']} speakers." in text
    for name, split in splits.items():
        assert f"| {name} | {split['speakers']} | {split['clips']} | {split['minutes']:.1f} |" in text
    assert "Rejected: none" in text and "{" not in text


def test_what_was_rejected_and_which_rates_there_are_is_counted(workspace, change, corpus):
    soundfile.write(corpus / "speaker0" / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(corpus / "speaker0" / "broad.wav", 0.1 * np.sin(np.arange(96000) / 9), 48000)
    text = card(workspace, change, corpus)
    assert "Rejected: silent (1)" in text
    assert "48000 Hz (1)" in text


def test_a_folder_to_evaluate_on_is_described_by_itself(workspace, change, corpus, tmp_path, spoken):
    other = tmp_path / "other"
    other.mkdir()
    soundfile.write(other / "one.wav", spoken(3, seed=77), 16000)
    text = card(workspace, change, corpus, **{"evaluate.root": str(other), "preprocess.test_fraction": 0.0})
    assert "## Recordings to evaluate on" in text and "1 recordings, 1 speakers" in text
    assert "the test split is the folder to evaluate on" in text

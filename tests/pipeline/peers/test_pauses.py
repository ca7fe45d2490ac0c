"""Pauses: `python -m pipeline.peers.pauses`."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from pipeline.peers import pauses


def test_a_background_is_made_of_the_quiet_parts(spoken):
    audio = spoken(2, seed=3)
    made = pauses.background(audio, 30_000, seed=1)
    assert made.shape == (30_000,) and np.array_equal(made, pauses.background(audio, 30_000, seed=1))
    blocks = np.square(audio[: len(audio) // 480 * 480].reshape(-1, 480)).mean(1)
    parts = np.square(made[: 30_000 // 480 * 480].reshape(-1, 480)).mean(1)
    assert np.percentile(blocks, 2) / 4 < parts.min() and parts.max() < 4 * np.percentile(blocks, 20)
    side = pauses.one_side(audio, 30_000, seed=1)
    assert np.array_equal(side[15_000:-15_000], audio)


def test_streams_with_and_without_stand_in_one_table(spoken, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pauses, "workers", lambda: ThreadPoolExecutor(1))  # new processes would take 10 s to import
    (tmp_path / "clips").mkdir()
    for seed in (3, 4):
        soundfile.write(tmp_path / f"clips/{seed}.wav", spoken(1.0, seed=seed), 16_000)
    file = tmp_path / "figure.json"
    pauses.main([str(tmp_path / "clips"), "--json", str(file)])
    assert "2 clips" in capsys.readouterr().out
    values = json.loads(file.read_text())["values"]
    assert list(values) == [
        "clips, step 300, no DTX",
        "clips, step 300, DTX",
        "one side, step 300, no DTX",
        "one side, step 300, DTX",
    ]
    _, _, plain, dtx = values.values()
    assert plain["left_out"] == 0 and dtx["left_out"] > 15
    assert dtx["kbps"] < 0.9 * plain["kbps"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--steps", "2000"], "step must lie between"),
        (["--judges", "nobody"], "no judge 'nobody'"),
        ([], "holds no recordings"),
    ],
)
def test_what_cannot_be_measured_is_said(spoken, tmp_path, arguments, says):
    if arguments:
        soundfile.write(tmp_path / "a.wav", spoken(0.5), 16_000)
    with pytest.raises(SystemExit, match=says):
        pauses.main([str(tmp_path), *arguments])

"""Lost packets: `python -m pipeline.peers.losses`."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from pipeline.peers import losses


@pytest.mark.parametrize("percent", [5, 10, 30])
def test_as_much_is_lost_as_was_asked_for_in_bursts(percent):
    lost = losses.lost_time(600_000, percent, seed=1)
    assert lost.mean() == pytest.approx(percent / 100, rel=0.1)
    edges = np.flatnonzero(np.diff(lost.astype(int)))
    lengths = (edges[1:] - edges[:-1])[(0 if lost[edges[0] + 1] else 1) :: 2]
    assert lengths.min() >= 20 and np.median(lengths) == pytest.approx(40, abs=3 + percent / 10)
    assert np.array_equal(lost, losses.lost_time(600_000, percent, seed=1))
    assert losses.lost_packets(lost, 20_000, 30).mean() == pytest.approx(percent / 100, rel=0.15)


def test_losses_of_ours_and_of_opus_stand_in_one_table(spoken, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(losses, "workers", lambda: ThreadPoolExecutor(1))  # new processes would take 10 s to import
    (tmp_path / "clips").mkdir()
    soundfile.write(tmp_path / "clips/a.wav", spoken(1.2, seed=3), 16_000)
    file = tmp_path / "figure.json"
    losses.main([str(tmp_path / "clips"), "--kbps", "12", "--lost", "20", "--json", str(file)])
    assert "1 clips" in capsys.readouterr().out
    values = json.loads(file.read_text())["values"]
    assert list(values) == [
        "TeluCodec, 12 kbit/s, 0 % lost",
        "Opus, 12 kbit/s, 0 % lost",
        "TeluCodec, silence, 12 kbit/s, 20 % lost",
        "TeluCodec, 12 kbit/s, 20 % lost",
        "Opus, 12 kbit/s, 20 % lost",
    ]
    sound, _, silent, concealed, _ = (row["pesq_wb"] for row in values.values())
    assert sound > concealed > silent
    assert all(row["kbps"] <= 13 for row in values.values())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--lost", "0"], "between 0 and 100"),
        (["--kbps", "3"], "opus has no 3 kbit/s"),
        (["--judges", "nobody"], "no judge 'nobody'"),
        ([], "holds no recordings"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path, arguments, says):
    with pytest.raises(SystemExit, match=says):
        losses.main([str(tmp_path), *arguments])

"""The table of other codecs and ours: `python -m pipeline.peers`."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import soundfile

from pipeline import peers
from pipeline.common import tables
from pipeline.peers import __main__ as command
from pipeline.peers import targets
from telucodec import OperatingPoint


@pytest.fixture
def clips(tmp_path, spoken, monkeypatch):
    monkeypatch.setattr(command, "workers", lambda: ThreadPoolExecutor(1))  # new processes would take 10 s to import
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, rate in enumerate((16000, 44100)):
        soundfile.write(folder / f"{number}.wav", spoken(1.5, seed=number, rate=rate), rate)
    return folder


def test_other_codecs_and_ours_stand_in_one_table(clips, tmp_path, capsys):
    file = tmp_path / "figure.json"
    command.main([str(clips), "opus@12", "opus@24", "tokens_4", "snr_20", "--json", str(file)])
    assert "2 clips" in capsys.readouterr().out
    written = json.loads(file.read_text())
    values = written["values"]
    assert list(values) == [
        "original",
        "Opus, 12 kbit/s",
        "Opus, 24 kbit/s",
        "tokens, 4 codebooks",
        "waveform, 20 dB SNR",
    ]
    assert values["Opus, 12 kbit/s"]["kbps"] < values["Opus, 24 kbit/s"]["kbps"]
    assert values["Opus, 12 kbit/s"]["snr"] < values["Opus, 24 kbit/s"]["snr"]
    assert values["waveform, 20 dB SNR"]["snr"] == pytest.approx(20, abs=0.1)
    assert values["tokens, 4 codebooks"]["kbps"] < 2.5
    assert "kbps" not in values["original"] and values["original"]["level_bias_500"] == 0
    rows = tables.render(file).splitlines()
    assert rows[0] == "|  | kbit/s | SNR dB | PESQ-WB | STOI |" and len(rows) == 2 + len(values)
    assert rows[2] == "| original |  |  |  |  |"


def test_a_name_alone_means_all_rates_of_a_codec():
    assert [target.kbps for target in targets.parse("opus")] == list(peers.PEERS["opus"].rates)
    assert [target.kbps for target in targets.parse("opus@9.5")] == [9.5]
    [target] = targets.parse("perception_1_kbps_6.5")
    assert target.point == OperatingPoint(kbps=6.5, perception=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "holds no recordings"),
        (["opsu"], "'opsu' is not an operating point.*nor is it one of the codecs opus, nolace"),
        (["opsu@8"], "no codec 'opsu'"),
        (["opus@1"], "opus has no 1 kbit/s; ask for 6 to 256"),
        (["opus@fast"], "opus@fast: 'fast' is not a rate"),
        (["opus", "--judges", "pesq"], "no judge 'pesq'"),
    ],
)
def test_a_table_that_cannot_be_made(tmp_path, arguments, says):
    with pytest.raises(SystemExit, match=says):
        command.main([str(tmp_path), *arguments])

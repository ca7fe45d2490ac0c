"""The table: `python -m pipeline.judges`."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import soundfile

from pipeline.judges import __main__ as command
from pipeline.judges import table


@pytest.fixture
def folders(tmp_path, spoken, monkeypatch):
    """Two recordings, decoded at half the level; one of the decoded is longer, the other a little shorter than its reference."""
    monkeypatch.setattr(command, "workers", lambda: ThreadPoolExecutor(1))  # new processes would take 10 s to import
    reference, decoded = tmp_path / "reference", tmp_path / "decoded"
    for number, samples in ((0, 16500), (1, 15990)):
        audio = spoken(2.0, seed=number)
        for folder, part, suffix in ((reference, audio[:16000], "flac"), (decoded, 0.5 * audio[:samples], "wav")):
            (folder / "deep").mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / "deep" / f"{number}.{suffix}", part, 16000)
    return reference, decoded


def test_a_row_for_the_original_and_each_folder(folders, tmp_path, capsys):
    reference, decoded = folders
    command.main([str(reference), str(decoded), "--judges", "levels", "--json", str(tmp_path / "out.json")])
    printed = capsys.readouterr().out
    assert "original" in printed and str(decoded) in printed and "-6.0 ±" in printed
    written = json.loads((tmp_path / "out.json").read_text())
    assert list(written) == ["original", str(decoded)]
    assert written["original"]["level_bias_1000"] == 0
    assert written[str(decoded)]["level_bias_250"] == pytest.approx(-6, abs=0.5)


def test_a_missing_recording_is_named(folders):
    reference, decoded = folders
    (decoded / "deep" / "0.wav").unlink()
    with pytest.raises(SystemExit, match=r"decoded lacks 1 of the 2 recordings of .*reference, deep/0 first"):
        command.main([str(reference), str(decoded), "--judges", "levels"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--judges", "pesq"], "no judge 'pesq'"), (["--judges", "levels"], "holds no recordings")],
)
def test_a_table_that_cannot_be_made(tmp_path, arguments, says):
    with pytest.raises(SystemExit, match=says):
        command.main([str(tmp_path), *arguments])


def test_recordings_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(SystemExit, match=r"error: .*a\.wav"):
        command.main([str(tmp_path)])


def test_means_leave_out_what_is_undefined():
    nan = float("nan")
    rows = [
        {"speaker_similarity": 0.5, "visqol": nan, "stoi": nan},
        {"speaker_similarity": 0.7, "visqol": 2.0, "stoi": nan},
    ]
    means = table.means(rows)
    assert (
        means["speaker_similarity"] == pytest.approx(0.6) and means["visqol"] == 2.0 and means["stoi"] != means["stoi"]
    )
    assert table.defined(means).keys() == {"speaker_similarity", "visqol"}

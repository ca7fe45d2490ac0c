"""The tables in README.md, docs/ and the cards are those of the metrics files they name."""

from pathlib import Path

import pytest

from pipeline import judges
from pipeline.common import files, tables
from pipeline.judges.levels import EDGES

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("page", [ROOT / page for page in ("README.md", "docs", "codec/weights")], ids=lambda p: p.name)
def test_pages_say_what_the_metrics_say(page):
    pages = sorted(page.rglob("*.md")) if page.is_dir() else [page]
    marked = 0
    for one in pages:
        text = one.read_text(encoding="utf-8")
        marked += len(tables.MARKED.findall(text))
        assert tables.with_tables(text, ROOT) == text, f"{one} is out of date: python -m pipeline.common.tables"
    assert marked or page.name == "docs"


def test_a_changed_figure_is_noticed():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (first, *_) = tables.MARKED.findall(text)
    table = tables.render(ROOT / first[1])
    assert table in text
    assert tables.with_tables(text.replace(table, table.replace(".", ",", 1)), ROOT) == text


def test_table_of_points(tmp_path):
    path = tmp_path / "evaluate.json"
    rows = {
        "clips": 3,
        "tokens_8": {"kbps": 4.05, "snr": 12.345, "pesq_wb": 3.1},
        "perception_1_kbps_6.5": {"kbps": 6.5, "snr": 26, "stoi": 0.97},
    }
    files.write_json(path, rows)
    assert tables.render(path).splitlines() == [
        "| | kbit/s | SNR dB | STOI |",
        "|---|---|---|---|",
        "| `--tokens 8` | 4.05 | 12.35 | undefined |",
        "| `--kbps 6.5 --perception 1` | 6.50 | 26.00 | 0.97 |",
    ]


def test_judges_follow_with_the_original_first_and_pesq_of_tokens_beside_them(tmp_path):
    path = tmp_path / "evaluate.json"
    heard = {"distillmos": 1.29, "speaker_similarity": 0.7191, "judged_clips": 3}
    coded = {"kbps": 4.05, "snr": 12.345, "pesq_wb": 3.1, "level_bias_125": 0.04, "level_bias_4000": -6}
    files.write_json(path, {"clips": 9, "original": heard, "tokens_4": coded, "tokens_8": coded | heard})
    first, caption, second = tables.render(path).split("\n\n")
    assert first.splitlines()[0] == "| | kbit/s | SNR dB |" and len(first.splitlines()) == 4
    assert caption.startswith("Judges heard 3 of the clips.")
    assert second.splitlines() == [
        "| | kbit/s | DistillMOS | speaker | PESQ-WB | 125-250 Hz | 4000-8000 Hz |",
        "|---|---|---|---|---|---|---|",
        "| original |  | 1.29 | 0.719 |  |  |  |",
        "| `--tokens 8` | 4.05 | 1.29 | 0.719 | 3.10 | +0.0 | -6.0 |",
    ]


def test_every_judge_has_a_column():
    assert judges.measures(name for name in judges.JUDGES if name != "levels") == tables.VERDICTS
    assert list(tables.LEVELS) == [f"level_bias_{low}" for low in EDGES[:-1]]


def test_table_of_savings(tmp_path):
    path = tmp_path / "compare.json"
    saving = {"percent": -83.0, "low": -85.14, "high": -80.9, "quality_from": 15, "quality_to": 28.5}
    files.write_json(path, {"ours": saving, "other": {"undefined": "no quality in common"}})
    assert tables.render(path).splitlines()[2:] == [
        "| ours | -83.0 % | -85.1 to -80.9 % | 15.00 and 28.50 |",
        "| other | no quality in common | | |",
    ]

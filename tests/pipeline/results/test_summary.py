import pytest

from pipeline.results import summary

CODED = {"kbps": 3.0, "snr": 5.0, "pesq_wb": 2.25, "stoi": 0.8, "level_bias_125": 0.5, "level_bias_4000": -6.0}
HEARD = {"dnsmos_ovrl": 2.5, "speaker_similarity": 0.7191, "judged_clips": 3}


@pytest.fixture
def evaluated():
    return {"clips": 9, "original": HEARD, "tokens_4": CODED, "tokens_8": CODED | HEARD}


def words(line):
    return " ".join(line.split())


def test_pesq_of_tokens_stands_only_beside_judges(evaluated):
    shown = [words(line) for line in summary.table(evaluated)]
    assert shown == ["kbps SNR dB STOI", *(f"tokens, {count} codebooks 3.00 5.00 0.80" for count in (4, 8))]
    waveform = [
        words(line) for line in summary.table({"clips": 9, "snr_30": CODED, "snr_15": {"kbps": 1.0, "snr": 15.0}})
    ]
    assert waveform[0] == "kbps SNR dB PESQ-WB STOI"
    assert waveform[2] == "waveform, 15 dB SNR 1.00 15.00 undefined undefined"


def test_judges_are_shown_with_the_original_first(evaluated):
    caption, verdicts, levels = ("\n".join(summary.judges(evaluated))).split("\n\n")
    assert caption.startswith("Judges heard 3 of the clips.")
    assert [words(line) for line in verdicts.splitlines()] == [
        "kbit/s DNSMOS speaker PESQ-WB",
        "original 2.50 0.719",
        "tokens, 8 codebooks 3.00 2.50 0.719 2.25",
    ]
    assert [words(line) for line in levels.splitlines()] == [
        "125-250 Hz 4000-8000 Hz",
        "original",
        "tokens, 8 codebooks +0.5 -6.0",
    ]


def test_columns_are_aligned(evaluated):
    assert summary.table(evaluated) == [
        "                     kbps  SNR dB  STOI",
        "tokens, 4 codebooks  3.00    5.00  0.80",
        "tokens, 8 codebooks  3.00    5.00  0.80",
    ]


def test_without_judges_there_is_one_table(evaluated):
    assert summary.judges({"clips": 9, "tokens_4": CODED}) == []

"""Means over clips, and tables of them."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

from pipeline import judges
from pipeline.judges.levels import EDGES

TITLES = {"kbps": "kbit/s", "snr": "SNR dB", "pesq_wb": "PESQ-WB", "stoi": "STOI"}
FINE = {"stoi", "speaker_similarity"}  # of values up to 1, a third decimal counts

Row = Mapping[str, float]


def means(rows: Sequence[Row]) -> dict[str, float]:
    """The mean of each value over the clips for which it is defined; NaN where it is defined for none."""
    table = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row and not math.isnan(row[name])]
        table[name] = sum(values) / len(values) if values else math.nan
    return table


def columns(names: Iterable[str], coded: bool) -> dict[str, str]:
    """Values to show, and their titles: those of these judges, but for levels, and for coded clips rate, SNR, PESQ and STOI."""
    shown = judges.measures(name for name in names if name != "levels")
    first = {"kbps": TITLES["kbps"]} if coded else {}
    last = {name: title for name, title in TITLES.items() if name != "kbps"} if coded else {}
    return first | shown | last


def defined(row: Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if not math.isnan(value)}


def cell(name: str, row: Row) -> str:
    value = row.get(name, math.nan)
    return "" if math.isnan(value) else f"{value:.{3 if name in FINE else 2}f}"


def text(rows: Mapping[str, Row], shown: Mapping[str, str]) -> str:
    """A table of names and values for a terminal, and below it the error of the level in each octave band."""
    values = [("", *shown.values()), *((name, *(cell(column, row) for column in shown)) for name, row in rows.items())]
    bands = [f"{low}-{high}" for low, high in itertools.pairwise(EDGES)]
    levels = [("level error, dB, in Hz", *bands), *((name, *_levels(row)) for name, row in rows.items())]
    return "\n".join([*_padded(values), "", *_padded(levels)] if shown else _padded(levels))


def _levels(row: Row) -> list[str]:
    """Bias and spread of each band."""
    if math.isnan(row.get("level_bias_125", math.nan)):
        return [""] * (len(EDGES) - 1)
    return [f"{row[f'level_bias_{edge}']:+.1f} ±{row[f'level_spread_{edge}']:.1f}" for edge in EDGES[:-1]]


def _padded(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *others = widths
    return [
        "  ".join([name.ljust(first), *(word.rjust(width) for word, width in zip(words, others, strict=True))])
        for name, *words in lines
    ]

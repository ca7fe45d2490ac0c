"""What a run reached and where its files are, as tables for the terminal: `python -m pipeline.results.summary`."""

import json
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from pipeline.common import files, tables

COLUMNS = {
    "kbps": "kbps",
    "snr": "SNR dB",
    "si_sdr": "SI-SDR dB",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
    "range_ratio": "range",
}
WIDTH = 100  # characters of a line of text


def table(evaluated: Mapping[str, Any]) -> list[str]:
    """Lines of a table with one row for every operating point in a metrics/MODEL/evaluate.json."""
    rows = tables.shown(evaluated)
    columns = {name: title for name, title in COLUMNS.items() if any(name in row for row in rows.values())}
    cells = {
        tables.label(point): [f"{row[name]:.2f}" if name in row else "undefined" for name in columns]
        for point, row in rows.items()
    }
    return _aligned(list(columns.values()), cells)


def judges(evaluated: Mapping[str, Any]) -> list[str]:
    """Lines of a table of what judges say, and of one of the level in each octave; none if there were no judges."""
    rows = tables.judged(evaluated)
    if not rows:
        return []
    columns = tables.judged_columns(rows)
    lines = textwrap.wrap(tables.judged_caption(rows), WIDTH)
    for levels in (False, True):  # beside each other they would be too wide
        names = [name for name in columns if (name in tables.LEVELS) == levels]
        cells = {tables.label(point): [tables.judged_cell(name, row) for name in names] for point, row in rows.items()}
        lines += ["", *_aligned([columns[name] for name in names], cells)]
    return lines


def _aligned(titles: list[str], rows: Mapping[str, list[str]]) -> list[str]:
    lines = [["", *titles], *([label, *cells] for label, cells in rows.items())]
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    return [
        (
            label.ljust(first) + "".join(cell.rjust(2 + width) for cell, width in zip(cells, others, strict=True))
        ).rstrip()
        for label, *cells in lines
    ]


def main() -> None:
    paths = sorted(files.METRICS.glob("*/evaluate.json"))
    if not paths:
        sys.exit(f"error: there is no {files.METRICS}/*/evaluate.json yet; run `make repro` first")
    for path in paths:
        evaluated = json.loads(path.read_text(encoding="utf-8"))
        print(f"\n{path.parent.name}, {evaluated['clips']} test clips, rates of the files:\n")
        print("\n".join(table(evaluated)))
        if heard := judges(evaluated):
            print("\n" + "\n".join(heard))
    print(
        f"\nexported codec   {files.EXPORT}/ (weights, ONNX, model cards); telucodec encode FILE --model {files.EXPORT} --snr 30"
        f"\nevery clip       {files.EVALUATION}/*.csv"
        f"\nrejected files   {files.REJECTED}"
        f"\nmetrics, curves  {files.METRICS}/, {files.PLOTS}/ (dvc metrics show, dvc plots show)"
    )


if __name__ == "__main__":
    main()

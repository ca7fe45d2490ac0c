"""What a run reached and where its files are, as a table for the terminal: `python -m pipeline.results.summary`."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from pipeline.common import files
from pipeline.common.tables import operating_points
from telucodec.operating_point import OperatingPoint

COLUMNS = {
    "kbps": "kbps",
    "snr": "SNR dB",
    "si_sdr": "SI-SDR dB",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
    "range_ratio": "range",
}


def table(evaluated: Mapping[str, Any]) -> list[str]:
    """Lines of a table with one row for every operating point in a metrics/MODEL/evaluate.json."""
    rows = {OperatingPoint.parse(name).label: row for name, row in operating_points(evaluated).items()}
    width = max(map(len, rows), default=0)
    lines = [" " * width + "".join(f"{title:>12}" for title in COLUMNS.values())]
    for label, row in rows.items():
        cells = [f"{row[column]:>12.2f}" if column in row else f"{'undefined':>12}" for column in COLUMNS]
        lines.append(f"{label:<{width}}" + "".join(cells))
    return lines


def main() -> None:
    paths = sorted(files.METRICS.glob("*/evaluate.json"))
    if not paths:
        sys.exit(f"error: there is no {files.METRICS}/*/evaluate.json yet; run `make repro` first")
    for path in paths:
        evaluated = json.loads(path.read_text(encoding="utf-8"))
        print(f"\n{path.parent.name}, {evaluated['clips']} test clips, rates of the files:\n")
        print("\n".join(table(evaluated)))
    print(
        f"\nexported codec   {files.EXPORT}/ (weights, ONNX, model cards); telucodec encode FILE --model {files.EXPORT} --snr 30"
        f"\nevery clip       {files.EVALUATION}/*.csv"
        f"\nrejected files   {files.REJECTED}"
        f"\nmetrics, curves  {files.METRICS}/, {files.PLOTS}/ (dvc metrics show, dvc plots show)"
    )


if __name__ == "__main__":
    main()

"""What a run reached and where it lies, as a table for the terminal: `python -m pipeline.results`."""

import json
import sys

from pipeline import files

COLUMNS = {
    "kbps": "kbps",
    "snr": "SNR dB",
    "si_sdr": "SI-SDR dB",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
    "range_ratio": "range",
}


def table(evaluated: dict) -> list[str]:
    """Lines of a table, one row for every operating point in a metrics/MODEL/evaluate.json."""
    lines = [f"{'':>16}" + "".join(f"{title:>12}" for title in COLUMNS.values())]
    for name, row in evaluated.items():
        if isinstance(row, dict):
            cells = [f"{row[column]:>12.2f}" if column in row else f"{'undefined':>12}" for column in COLUMNS]
            lines.append(f"{name.replace('_', ' '):>16}" + "".join(cells))
    return lines


def main() -> None:
    found = sorted(files.METRICS.glob("*/evaluate.json"))
    if not found:
        sys.exit(f"error: {files.METRICS}/*/evaluate.json is not there yet; run `make repro` first")
    for path in found:
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

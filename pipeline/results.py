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
    """Lines of a table, one row for every number of codebooks in metrics/evaluate.json."""
    lines = [f"{'codebooks':>10}" + "".join(f"{title:>12}" for title in COLUMNS.values())]
    for name, row in evaluated.items():
        if isinstance(row, dict):
            cells = [f"{row[column]:>12.2f}" if column in row else f"{'undefined':>12}" for column in COLUMNS]
            lines.append(f"{name.removeprefix('codebooks_'):>10}" + "".join(cells))
    return lines


def main() -> None:
    try:
        evaluated = json.loads((files.METRICS / "evaluate.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.exit(f"error: {files.METRICS}/evaluate.json is not there yet; run `make repro` first")
    print(f"\n{evaluated['clips']} test clips, nominal rates:\n")
    print("\n".join(table(evaluated)))
    print(
        f"\nexported codec   {files.EXPORT}/ (weights, ONNX, model card)"
        f"\nevery clip       {files.CLIP_SCORES}"
        f"\nrejected files   {files.REJECTED}"
        f"\nmetrics, curves  {files.METRICS}/*.json, {files.PLOTS}/*.csv (dvc metrics show, dvc plots show)"
    )


if __name__ == "__main__":
    main()

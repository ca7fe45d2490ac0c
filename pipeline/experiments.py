"""A table of token experiments on this commit: `python -m pipeline.experiments NAME... ` writes docs/figures/experiments.json.

A row says what of params.yaml is other than in the experiment named first, what `evaluate@tokens` measured, and the least and the
greatest perplexity of a codebook in the last epoch of training.
"""

import sys
from pathlib import Path

from pipeline import files
from pipeline.flows import graph
from pipeline.ladder import runs
from pipeline.params import keys, parse
from pipeline.tables import MEASURES, as_option

PAGE = Path("docs/figures/experiments.json")
SHOWN, DIGITS = ("snr", "pesq_wb", "stoi"), {"stoi": 3}
UNKNOWN: dict = {}  # no parameter has this value


def main(names: list[str]) -> None:
    missing = [name for name in names if graph.experiment(name) is None]
    if missing or not names:
        asked = ", ".join(missing) or "none is named"
        sys.exit(f"error: no such experiment on this commit: {asked}; `dvc exp list` shows those there are")
    trained_only = [name for name in names if not _evaluated(name)]
    if trained_only:
        sys.exit(f"error: {', '.join(trained_only)}: what was trained was not evaluated; run it up to evaluate@tokens")
    first, points = _read(names[0], "params.yaml"), list(_measured(names[0]))
    columns = [
        f"{as_option(point)}: kbit/s" if not shown else MEASURES[shown] for point in points for shown in ("", *SHOWN)
    ]
    rows = [[_changed(first, _read(name, "params.yaml")), *_figures(name, points)] for name in names]
    files.write_json(PAGE, {"columns": ["", *columns, "perplexity"], "rows": rows})


def _evaluated(name: str) -> bool:
    """Whether the metrics that git has are those of the experiment's model: an experiment may end with the training."""
    stages = _read(name, "dvc.lock")["stages"]
    trained, evaluated = (
        {entry["path"]: entry["md5"] for entry in stages[stage][side]}[str(files.MODELS / "tokens")]
        for stage, side in (("train@tokens", "outs"), ("evaluate@tokens", "deps"))
    )
    return trained == evaluated


def _read(name: str, path: str | Path) -> dict:
    """A YAML or JSON file as an experiment has it."""
    return parse(graph.file_at(graph.experiment(name), path))


def _measured(name: str) -> dict[str, dict[str, float]]:
    """Measures by operating point."""
    found = _read(name, files.METRICS / "tokens" / "evaluate.json")
    return {point: row for point, row in found.items() if isinstance(row, dict)}


def _figures(name: str, points: list[str]) -> list[str]:
    measured, last = _measured(name), runs.read(name).statistics[-1]
    shown = [(measured.get(point, {}), measure) for point in points for measure in ("kbps", *SHOWN)]
    cells = [f"{row[name]:.{DIGITS.get(name, 2)}f}" if name in row else "undefined" for row, name in shown]
    perplexities = [value for key, value in last.items() if key.startswith("perplexity_")]
    return [*cells, f"{min(perplexities):.0f} to {max(perplexities):.0f}"]


def _changed(first: dict, own: dict) -> str:
    changed = [key for key in keys() if _value(own, key) not in (UNKNOWN, _value(first, key))]
    return ", ".join(f"`{key}={_value(own, key)}`" for key in changed) or "as it is"


def _value(values: dict, key: str) -> object:
    """UNKNOWN where the run's params.yaml did not have the key yet."""
    for part in key.split("."):
        values = values.get(part, UNKNOWN)
    return values


if __name__ == "__main__":
    main(sys.argv[1:])

"""A table of token experiments on this commit: `python -m pipeline.results.experiments NAME...`

It writes docs/figures/experiments.json. A row states the parameters that differ from the first experiment, the results of
`evaluate@tokens`, and the lowest and highest perplexity of a codebook in the last epoch of training.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.common import dvc_repo, files
from pipeline.common.params import keys
from pipeline.common.tables import MEASURES, as_option, operating_points
from pipeline.common.yaml12 import parse

PAGE = Path("docs/figures/experiments.json")
SHOWN = ("snr", "pesq_wb", "stoi")
DIGITS = {"stoi": 3}
ABSENT: dict[str, object] = {}  # no parameter has this value


def main(names: list[str]) -> None:
    missing = [name for name in names if dvc_repo.experiment(name) is None]
    if missing or not names:
        problem = (
            f"no such experiment on this commit: {', '.join(missing)}" if missing else "name at least one experiment"
        )
        sys.exit(f"error: {problem}; `dvc exp list` shows all of them")
    stale = [name for name in names if not _is_evaluated(name)]
    if stale:
        sys.exit(f"error: {', '.join(stale)}: the trained model was not evaluated; run it up to evaluate@tokens")
    first, points = _read(names[0], "params.yaml"), list(_results(names[0]))
    columns = [
        f"{as_option(point)}: kbit/s" if not measure else MEASURES[measure]
        for point in points
        for measure in ("", *SHOWN)
    ]
    rows = [[_difference(first, _read(name, "params.yaml")), *_figures(name, points)] for name in names]
    files.write_json(PAGE, {"columns": ["", *columns, "perplexity"], "rows": rows})


def _is_evaluated(name: str) -> bool:
    """Whether the recorded metrics belong to the experiment's own model: an experiment may end after training."""
    stages = _read(name, "dvc.lock")["stages"]
    trained, evaluated = (
        {entry["path"]: entry["md5"] for entry in stages[stage][side]}[str(files.MODELS / "tokens")]
        for stage, side in (("train@tokens", "outs"), ("evaluate@tokens", "deps"))
    )
    return trained == evaluated


def _reference(name: str) -> str:
    reference = dvc_repo.experiment(name)
    assert reference is not None, f"{name} is not an experiment"
    return reference


def _read(name: str, path: str | Path) -> dict[str, Any]:
    """A YAML or JSON file of an experiment."""
    content = parse(dvc_repo.file_at(_reference(name), path), path)
    assert isinstance(content, dict), f"{path} of {name} is not a mapping"
    return content


def _results(name: str) -> dict[str, dict[str, float]]:
    """Measures by operating point."""
    return operating_points(_read(name, files.METRICS / "tokens" / "evaluate.json"))


def _figures(name: str, points: list[str]) -> list[str]:
    results = _results(name)
    last = dvc_repo.numbers_at(_reference(name), files.PLOTS / "tokens" / "statistics.csv")[-1]
    cells = [
        f"{row[measure]:.{DIGITS.get(measure, 2)}f}" if measure in row else "undefined"
        for row in (results.get(point, {}) for point in points)
        for measure in ("kbps", *SHOWN)
    ]
    perplexities = [value for key, value in last.items() if key.removeprefix("perplexity_").isdigit()]
    return [*cells, f"{min(perplexities):.0f} to {max(perplexities):.0f}"]


def _difference(first: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    changed = [key for key in keys() if _value(own, key) not in (ABSENT, _value(first, key))]
    return ", ".join(f"`{key}={_value(own, key)}`" for key in changed) or "no change"


def _value(values: Mapping[str, Any], key: str) -> object:
    """The value of a dotted key, or ABSENT if the experiment's params.yaml did not have it yet."""
    value: Any = values
    for part in key.split("."):
        value = value.get(part, ABSENT)
    return value


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the stages before left behind, as the page shows it."""

import csv
import json
import math
from pathlib import Path
from typing import NamedTuple

import yaml
from markupsafe import Markup

from pipeline import files
from pipeline.report.charts import Series, chart
from pipeline.stage import StageError

KINDS = {  # of operating points
    "codebooks": "Tokens",
    "shared": "Tokens, codebooks shared out",
    "snr": "Waveform",
    "shaped": "Waveform, perception",
}
MEASURES = {"snr": ("SNR", "dB"), "pesq_wb": ("PESQ-WB", "opinion score"), "stoi": ("STOI", "intelligibility")}
BY_RATE = "snr_by_rate.csv"
MARKED = 30  # points of a line; more of them are drawn as a line only


class Plot(NamedTuple):
    title: str
    drawing: Markup


def metrics(name: str) -> dict:
    """metrics/NAME.json, or nothing where a run has no such file."""
    path = files.METRICS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def evaluated() -> dict[str, dict]:
    """metrics/MODEL/evaluate.json of every model.

    Raises:
        StageError: there is none.
    """
    found = {
        path.parent.name: metrics(f"{path.parent.name}/evaluate") for path in files.METRICS.glob("*/evaluate.json")
    }
    if not found:
        raise StageError(f"{files.METRICS}/*/evaluate.json is not there yet; run `dvc repro` first")
    return dict(sorted(found.items()))


def operating_points(evaluation: dict) -> dict[str, dict[str, float]]:
    """Means over clips by operating point."""
    return {name: means for name, means in evaluation.items() if isinstance(means, dict) and "kbps" in means}


def kind(point: str) -> str:
    return point.rsplit("_", 1)[0]


def table(path: Path) -> list[dict]:
    """Rows of a CSV file; numbers as numbers, an empty cell as NaN."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _value(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def _value(cell: str) -> float | str:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return cell


def by_rate(evaluations: dict[str, dict]) -> list[Plot]:
    """SNR, PESQ-WB and STOI by rate, with other codecs and the bound where they were measured."""
    peers, bound = metrics("peers"), metrics("bound")
    plots = []
    for measure, (label, unit) in MEASURES.items():
        series = []
        for evaluation in evaluations.values():
            kinds: dict[str, list[tuple[str, dict]]] = {}
            for point, means in operating_points(evaluation).items():
                if measure in means:
                    kinds.setdefault(kind(point), []).append((point, means))
            for name, points in kinds.items():
                points.sort(key=lambda point: point[1]["kbps"])
                places = [(means["kbps"], means[measure]) for _, means in points]
                series.append(Series(KINDS.get(name, name), places, [point for point, _ in points], marks=True))
        for name, rows in peers.items():
            places = sorted((row["kbps"], row[measure]) for row in rows if row.get(measure) is not None)
            series.append(Series(name.capitalize(), places, marks=True, dashed=True))
        if measure == "snr":
            most = max((x for one in series for x, _ in one.points), default=0)
            least = min((x for one in series for x, _ in one.points), default=0)
            for name, rows in bound.items():
                places = sorted((row["kbps"], row["snr"]) for row in rows if least <= row["kbps"] <= most)
                series.append(Series(f"Bound, {name.replace('_', ' ')}", places, dashed=True))
        plots.append(Plot(label, chart(series, "kbit/s", unit, log_x=True)))
    return plots


def declared_plots(path: Path = Path("dvc.yaml")) -> list[Plot]:
    """Every plot that dvc.yaml declares, as `dvc plots show` draws them, but that by rate: `by_rate` shows more."""
    declared = yaml.safe_load(path.read_text(encoding="utf-8")).get("plots", [])
    plots = [Plot(title, _declared(plot)) for one in declared for title, plot in one.items() if not _by_rate(plot)]
    return [plot for plot in plots if plot.drawing]


def _by_rate(plot: dict) -> bool:
    return any(Path(file).name == BY_RATE for file in plot["y"])


def _declared(plot: dict) -> Markup:
    columns = {Path(file): [names] if isinstance(names, str) else names for file, names in plot["y"].items()}
    x_label = plot.get("x_label") or (plot["x"] if isinstance(plot["x"], str) else "")
    y_label = plot.get("y_label", "")
    series = []
    for file, names in columns.items():
        rows = table(file) if file.exists() else []
        x_name = plot["x"] if isinstance(plot["x"], str) else plot["x"][str(file)]
        if plot.get("template", "").startswith(
            "bar_horizontal"
        ):  # of names; drawn as points from the best to the worst
            rows = sorted((row for row in rows if math.isfinite(row[x_name])), key=lambda row: -row[x_name])
            points = [(place, row[x_name]) for place, row in enumerate(rows, 1)]
            series.append(Series(x_name, points, [row[names[0]] for row in rows], line=False, marks=True))
            x_label, y_label = f"{names[0]}s, sorted", x_label
            continue
        for name in names:
            shown = name if len(columns) == 1 else file.parent.name
            points = [(row[x_name], row[name]) for row in rows]
            series.append(Series(shown, points, marks=len(rows) < MARKED))
    return chart(series, x_label, y_label or (series[0].name if len(series) == 1 else ""))


def codebooks() -> list[dict[str, float]]:
    """Perplexity and share of dead codewords of every codebook after the last epoch."""
    path = files.PLOTS / "tokens" / "statistics.csv"
    rows = table(path) if path.exists() else []
    if not rows:
        return []
    last, levels = rows[-1], [name.removeprefix("perplexity_") for name in rows[-1] if name.startswith("perplexity_")]
    return [
        {"level": int(level), "perplexity": last[f"perplexity_{level}"], "dead": last[f"dead_{level}"]}
        for level in levels
    ]


def rejected() -> list[tuple[str, list[str]]]:
    """Headings of data/rejected.md and the lines below each."""
    sections: list[tuple[str, list[str]]] = []
    for line in files.REJECTED.read_text(encoding="utf-8").splitlines() if files.REJECTED.exists() else ():
        if line.startswith("##"):
            sections.append((line.lstrip("# "), []))
        elif line and sections:
            sections[-1][1].append(line.removeprefix("- "))
    return sections

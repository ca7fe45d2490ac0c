"""What the other stages left behind, in the form in which the page shows it."""

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from pipeline.common import files, tables
from pipeline.common.sections import CorpusName
from pipeline.common.stage import StageError
from pipeline.common.yaml12 import parse
from pipeline.corpus import near_duplicates
from pipeline.corpus.layouts import doubt, note
from pipeline.report.charts import Series, chart
from telucodec.operating_point import OperatingPoint

MEASURES = {"snr": ("SNR", "dB"), "pesq_wb": ("PESQ-WB", "opinion score"), "stoi": ("STOI", "intelligibility")}
BY_RATE = "snr_by_rate.csv"
MARKED = 30  # points of a line; lines with more points have no marks


class Plot(NamedTuple):
    title: str
    drawing: Markup


class Judged(NamedTuple):
    caption: str
    columns: list[str]
    rows: dict[str, list[str]]  # cells by what was heard, the original first


def metrics(name: str) -> dict[str, Any]:
    """The contents of metrics/NAME.json, empty if a run has no such file."""
    path = files.METRICS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def evaluated() -> dict[str, dict[str, Any]]:
    """The contents of metrics/MODEL/evaluate.json of every model.

    Raises:
        StageError: there is none.
    """
    paths = files.METRICS.glob("*/evaluate.json")
    evaluations = {path.parent.name: metrics(f"{path.parent.name}/evaluate") for path in paths}
    if not evaluations:
        raise StageError(f"there is no {files.METRICS}/*/evaluate.json yet; run `dvc repro` first")
    return dict(sorted(evaluations.items()))


def table(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV file; numbers as numbers, an empty cell as NaN."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _value(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def _value(cell: str) -> float | str:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return cell


def scores(model: str) -> list[dict[str, Any]]:
    """The rows of data/evaluation/MODEL.csv, as `tables.shown` shows means."""
    rows = table(files.EVALUATION / f"{model}.csv")
    return [
        {name: value for name, value in row.items() if name != "pesq_wb" or not tables.is_tokens(str(row["point"]))}
        for row in rows
    ]


def judged(evaluations: Mapping[str, Mapping[str, Any]]) -> Judged | None:
    """What judges say about all models; None if there were no judges."""
    rows = {name: means for evaluation in evaluations.values() for name, means in tables.judged(evaluation).items()}
    if not rows:
        return None
    columns = tables.judged_columns(rows)
    cells = {tables.label(name): [tables.judged_cell(column, row) for column in columns] for name, row in rows.items()}
    return Judged(tables.judged_caption(rows), list(columns.values()), cells)


def by_rate(evaluations: Mapping[str, Mapping[str, Any]]) -> list[Plot]:
    """SNR, PESQ-WB and STOI by rate, with other codecs and the bound if they were measured."""
    plots = []
    for measure, (label, unit) in MEASURES.items():
        series = [*_own_series(evaluations, measure), *_peer_series(measure)]
        if measure == "snr":
            series += _bound_series(series)
        plots.append(Plot(label, chart(series, "kbit/s", unit, log_x=True)))
    return plots


def _own_series(evaluations: Mapping[str, Mapping[str, Any]], measure: str) -> list[Series]:
    """A curve for each family of operating points."""
    families: dict[str, list[tuple[OperatingPoint, dict[str, float]]]] = {}
    for evaluation in evaluations.values():
        for name, means in tables.shown(evaluation).items():
            point = OperatingPoint.parse(name)
            if measure in means:
                families.setdefault(point.family, []).append((point, means))
    return [
        Series(
            family_title(points[0][0]),
            [(means["kbps"], means[measure]) for _, means in points],
            [point.label for point, _ in points],
            marks=True,
        )
        for points in (sorted(points, key=lambda entry: entry[1]["kbps"]) for points in families.values())
    ]


def _peer_series(measure: str) -> list[Series]:
    return [
        Series(
            name.capitalize(),
            sorted((row["kbps"], row[measure]) for row in rows if row.get(measure) is not None),
            marks=True,
            dashed=True,
        )
        for name, rows in metrics("peers").items()
    ]


def _bound_series(series: list[Series]) -> list[Series]:
    """The bound in the range of rates that other curves cover."""
    rates = [rate for one in series for rate, _ in one.points] or [0.0]
    return [
        Series(
            f"Bound, {name.replace('_', ' ')}",
            sorted((row["kbps"], row["snr"]) for row in rows if min(rates) <= row["kbps"] <= max(rates)),
            dashed=True,
        )
        for name, rows in metrics("bound").items()
    ]


def family_title(point: OperatingPoint) -> str:
    """The name of the curve that a point belongs to."""
    if point.model == "tokens":
        return "Tokens" if point.kbps is None else "Tokens, shared codebooks"
    return f"Waveform, perception {point.perception:g}" if point.perception else "Waveform"


def declared_plots(path: Path = Path("dvc.yaml")) -> list[Plot]:
    """The plots that dvc.yaml declares, as `dvc plots show` draws them, except those by rate (`by_rate`)."""
    document: Any = parse(path.read_text(encoding="utf-8"), path)
    declared = [(title, plot) for entry in document.get("plots", []) for title, plot in entry.items()]
    plots = [Plot(title, _declared(plot)) for title, plot in declared if not _is_by_rate(plot)]
    return [plot for plot in plots if plot.drawing]


def _is_by_rate(plot: Mapping[str, Any]) -> bool:
    return any(Path(file).name == BY_RATE for file in plot["y"])


def _declared(plot: Mapping[str, Any]) -> Markup:
    columns = {Path(file): [names] if isinstance(names, str) else names for file, names in plot["y"].items()}
    x_label = plot.get("x_label") or (plot["x"] if isinstance(plot["x"], str) else "")
    y_label = plot.get("y_label", "")
    series = []
    for file, names in columns.items():
        rows = table(file) if file.exists() else []
        x_name = plot["x"] if isinstance(plot["x"], str) else plot["x"][str(file)]
        if plot.get("template", "").startswith("bar_horizontal"):  # bars by name, drawn here as sorted points
            rows = sorted((row for row in rows if math.isfinite(row[x_name])), key=lambda row: -row[x_name])
            points = [(float(place), row[x_name]) for place, row in enumerate(rows, 1)]
            series.append(Series(x_name, points, [row[names[0]] for row in rows], line=False, marks=True))
            x_label, y_label = f"{names[0]}s, sorted", x_label
            continue
        for name in names:
            label = name if len(columns) == 1 else file.parent.name
            points = [(row[x_name], row[name]) for row in rows if name in row]
            series.append(Series(label, points, marks=len(rows) < MARKED))
    return chart(series, x_label, y_label or (series[0].name if len(series) == 1 else ""))


def codebooks() -> list[dict[str, float]]:
    """Perplexity and share of dead codewords of every codebook after the last epoch."""
    path = files.PLOTS / "tokens" / "statistics.csv"
    rows = table(path) if path.exists() else []
    if not rows:
        return []
    last = rows[-1]
    numbers = [number for name in last if (number := name.removeprefix("perplexity_")).isdigit()]
    return [
        {"number": int(number), "perplexity": last[f"perplexity_{number}"], "dead": last[f"dead_{number}"]}
        for number in numbers
    ]


def doubts(corpus: CorpusName | None) -> list[str]:
    """Sentences on whether the splits hold different speakers."""
    counts = metrics("discover").get("data")
    speakers = counts and doubt(counts["clips"], counts["speakers"])
    return list(filter(None, [speakers, note(corpus), near_duplicates.doubt(near_duplicates.listed())]))


def rejected() -> list[tuple[str, list[str]]]:
    """The headings of data/rejected.md with the lines below each."""
    sections: list[tuple[str, list[str]]] = []
    for line in files.REJECTED.read_text(encoding="utf-8").split("\n") if files.REJECTED.exists() else ():
        if line.startswith("##"):
            sections.append((line.lstrip("# "), []))
        elif line and sections:
            sections[-1][1].append(line.removeprefix("- "))
    return sections

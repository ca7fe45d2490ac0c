"""The results of the ladder as tables (docs/figures/fixes.json, without.json) and pictures."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import vl_convert

from pipeline.common import files
from pipeline.ladder.plan import Overrides, Run
from pipeline.ladder.runs import Result

PAGE, FIGURES, IMAGES = Path("docs/fixes.md"), Path("docs/figures"), Path("docs/images")
COLUMNS = [
    "",
    "change",
    "SNR at the start",
    "in the middle",
    "at the end",
    "range ratio",
    "output mean",
    "loss",
    "perplexity",
]
FORMATS = {"range_ratio": ".2f", "output_mean": "+.4f", "loss": ".3g"}


def write(name: str, title: str, results: Sequence[tuple[Run, Sequence[Result]]]) -> None:
    """Write docs/figures/NAME.json and docs/images/NAME.png."""
    rows = [row(run, seeds) for run, seeds in results]
    files.write_json(FIGURES / f"{name}.json", {"columns": COLUMNS, "rows": rows})
    IMAGES.mkdir(parents=True, exist_ok=True)
    with files.whole_file(IMAGES / f"{name}.png") as path:
        path.write_bytes(picture(title, results))


def row(run: Run, seeds: Sequence[Result]) -> list[str]:
    """One row of the table: mean ± standard deviation over the seeds; SNR in dB."""
    cells = [run.name.partition("-")[2].replace("-", " ", 1) if run.name[:4] == "fix-" else run.name, change(run.fix)]
    finished = [result for result in seeds if result.history]
    if not finished:
        return [*cells, seeds[0].failure, *[""] * (len(COLUMNS) - 3)]
    for place in (0, len(finished[0].history) // 2, -1):
        cells.append(_spread([result.history[place]["snr"] for result in finished], ".2f"))
    cells += [_spread([result.history[-1][key] for result in finished], form) for key, form in FORMATS.items()]
    cells.append(_spread([result.statistics[-1]["perplexity"] for result in finished], ".0f"))
    if len(finished) < len(seeds):
        failure = next(result.failure for result in seeds if result.failure)
        cells[4] += f" ({len(finished)} of {len(seeds)} seeds; {failure})"
    return cells


def change(fix: Overrides) -> str:
    return ", ".join(f"`{key}={'null' if value is None else value}`" for key, value in fix.items())


def _spread(values: Sequence[float], form: str) -> str:
    mean = f"{statistics.fmean(values):{form}}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):{form.lstrip('+')}}"


def picture(title: str, results: Sequence[tuple[Run, Sequence[Result]]]) -> bytes:
    """A PNG of the SNR at the start and the end of every run, with one mark per seed."""
    names = [run.name for run, _ in results]
    values = [
        {"run": run.name, "when": when, "snr": result.history[place]["snr"]}
        for run, seeds in results
        for result in seeds
        if result.history
        for when, place in (("start", 0), ("end", -1))
    ]
    when = {"field": "when", "type": "nominal", "sort": ["start", "end"], "title": ""}
    axis = {"field": "run", "type": "nominal", "sort": names, "title": None, "axis": {"labelLimit": 300}}
    return vl_convert.vegalite_to_png(
        {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "title": title,
            "width": 520,
            "data": {"values": values},
            "layer": [
                {"mark": {"type": "rule", "color": "#999"}, "encoding": {"x": {"datum": 0}}},
                {
                    "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.8},
                    "encoding": {
                        "x": {"field": "snr", "type": "quantitative", "title": "validation SNR (dB)"},
                        "y": axis,
                        "color": {**when, "scale": {"range": ["#9ecae1", "#08519c"]}},
                        "shape": {**when, "scale": {"range": ["circle", "square"]}, "legend": None},
                    },
                },
            ],
        },
        scale=1.5,
    )

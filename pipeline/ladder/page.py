"""What the ladder reached, as tables (docs/figures/fixes.json, without.json) and a picture."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import vl_convert

from pipeline import files
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
    rows = [row(run, reached) for run, reached in results]
    files.write_json(FIGURES / f"{name}.json", {"columns": COLUMNS, "rows": rows})
    IMAGES.mkdir(parents=True, exist_ok=True)
    with files.whole_file(IMAGES / f"{name}.png") as path:
        path.write_bytes(picture(title, results))


def row(run: Run, reached: Sequence[Result]) -> list[str]:
    """One line of the table: mean ± standard deviation over the seeds, in dB where nothing else is said."""
    cells = [run.name.partition("-")[2].replace("-", " ", 1) if run.name[:4] == "fix-" else run.name, change(run.fix)]
    finished = [result for result in reached if result.history]
    if not finished:
        return [*cells, reached[0].failure, *[""] * (len(COLUMNS) - 3)]
    for place in (0, len(finished[0].history) // 2, -1):
        cells.append(_spread([snr(result, place) for result in finished], ".2f"))
    cells += [_spread([result.history[-1][key] for result in finished], form) for key, form in FORMATS.items()]
    cells.append(_spread([perplexity(result) for result in finished], ".0f"))
    if len(finished) < len(reached):
        cells[4] += f" ({len(finished)} of {len(reached)} seeds; {next(r.failure for r in reached if r.failure)})"
    return cells


def change(fix: Overrides) -> str:
    return ", ".join(f"`{key}={'null' if value is None else value}`" for key, value in fix.items())


def snr(result: Result, place: int) -> float:
    """Validation SNR in dB with all codebooks; `place` counts epochs from the starting point."""
    levels = max(int(key[4:]) for key in result.history[0] if key.startswith("snr_"))
    return result.history[place][f"snr_{levels}"]


def perplexity(result: Result) -> float:
    """In the last epoch, mean over codebooks, in codewords."""
    return statistics.fmean(value for key, value in result.statistics[-1].items() if key.startswith("perplexity_"))


def _spread(values: Sequence[float], form: str) -> str:
    mean = f"{statistics.fmean(values):{form}}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):{form.lstrip('+')}}"


def picture(title: str, results: Sequence[tuple[Run, Sequence[Result]]]) -> bytes:
    """SNR at the end of every run and at its start, a mark for each seed, as PNG."""
    names = [run.name for run, _ in results]
    values = [
        {"run": run.name, "when": when, "snr": snr(result, place)}
        for run, reached in results
        for result in reached
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

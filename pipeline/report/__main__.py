"""`python -m pipeline.report` writes report/index.html: everything about the run in the workspace, on one page.

The page needs no network and no other file: charts are inline SVG, audio is FLAC in data URIs.
"""

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline.common import files, stage, tables
from pipeline.common.sections import Params
from pipeline.common.stage import StageError
from pipeline.common.yaml12 import dump
from pipeline.report import listening, results
from pipeline.report.changes import Changes, since_last_commit
from telucodec.operating_point import OperatingPoint

PAGE = files.REPORT / "index.html"
COLUMNS = {  # of the table of clips
    "kbps": "kbit/s",
    "snr": "SNR dB",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
    "si_sdr": "SI-SDR dB",
    "seconds": "seconds",
}
NOTED = {"kbps": ("kbit/s", 1), "snr": ("dB SNR", 1), "pesq_wb": ("PESQ", 2), "stoi": ("STOI", 2)}  # below a tile
PLAYED_SNR = 30  # dB; the nearest `snr` point is played


def main(params: Params) -> None:
    evaluations = results.evaluated()
    require(list(evaluations))
    means = {
        OperatingPoint.parse(name): row
        for evaluation in evaluations.values()
        for name, row in tables.shown(evaluation).items()
    }
    scores = {model: results.scores(model) for model in evaluations}
    played = points_to_play(list(means))
    ranked_by = played[0]
    changes = since_last_commit()
    page = _template().render(
        name=os.environ.get("DVC_EXP_NAME", ""),
        root=params.evaluate.root or params.data.root,
        built_in=params.data.is_built_in and not params.evaluate.root,
        points=means,
        clips=max(evaluation["clips"] for evaluation in evaluations.values()),
        tiles=tiles(means, played, changes),
        by_rate=results.by_rate(evaluations),
        judged=results.judged(evaluations),
        examples=listening.examples(scores, played, ranked_by),
        ranked_by=ranked_by,
        scores=scores,
        columns=COLUMNS,
        plots=results.declared_plots(),
        gates=results.metrics("gates"),
        codebooks=results.codebooks(),
        codebook_size=params.quantizer.codebook_size,
        discovered=results.metrics("discover"),
        splits=results.metrics("preprocess"),
        doubts=results.doubts(params.data.corpus),
        rejected=results.rejected(),
        changes=changes,
        params=dump(params.model_dump()),
    )
    with files.whole_folder(files.REPORT) as folder:
        (folder / PAGE.name).write_text(page, encoding="utf-8")
    print(f"{PAGE}, {len(page) / 1e6:.1f} MB")


def require(models: list[str]) -> None:
    """Check that the other stages left what the page shows.

    Raises:
        StageError: something is missing.
    """
    needed = [files.SHARDS / "test", *(files.EXPORT / model for model in models)]
    needed += [files.EVALUATION / f"{model}.csv" for model in models]
    if missing := [str(path) for path in needed if not path.exists()]:
        raise StageError(
            f"missing: {', '.join(missing)}; `dvc repro` makes them, `dvc checkout` takes them from the cache"
        )


def points_to_play(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """The operating points to listen to; the SNR of the first one ranks the clips.

    These are tokens with the most codebooks, the waveform codec at its lowest rate with perception, next to Opus, and the
    waveform codec at a typical SNR. Without any of these, all points.
    """
    tokens = [point for point in points if point.family == "tokens"]
    shaped = [point for point in points if point.perception and point.kbps is not None]
    exact = [point for point in points if point.family == "snr"]
    played = [
        *sorted(tokens, key=lambda point: -point.value)[:1],
        *sorted(shaped, key=lambda point: point.value)[:1],
        *sorted(exact, key=lambda point: abs(point.value - PLAYED_SNR))[:1],
    ]
    return played or list(points)


def tiles(
    means: Mapping[OperatingPoint, Mapping[str, float]], played: Sequence[OperatingPoint], changes: Changes
) -> list[dict[str, Any]]:
    """The figures at the top: value, unit, title, and the difference from the last commit."""
    differences = {(change.file, change.name): change.difference for change in changes.metrics}
    shown = []
    for point in played:
        measure, unit = ("snr", "dB") if point.model == "tokens" else ("kbps", "kbit/s")
        if point.perception:
            measure, unit = "pesq_wb", "PESQ"
        notes = [
            f"{means[point][name]:.{digits}f} {label}"
            for name, (label, digits) in NOTED.items()
            if name != measure and name in means[point]
        ]
        file = str(files.METRICS / point.model / "evaluate.json")
        shown.append(
            {
                "value": means[point].get(measure),
                "unit": unit,
                "title": listening.title(point),
                "note": " · ".join(notes),
                "difference": differences.get((file, f"{point.name}.{measure}")),
            }
        )
    return shown


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    part = resources.files(__package__)
    environment.globals.update(
        style=Markup((part / "style.css").read_text(encoding="utf-8")),
        script=Markup((part / "script.js").read_text(encoding="utf-8")),
        title=listening.title,
    )
    return environment.from_string((part / "page.html").read_text(encoding="utf-8"))


if __name__ == "__main__":
    stage.run(main)

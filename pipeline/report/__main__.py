"""`python -m pipeline.report` writes report/index.html: everything about the run in the workspace, on one page.

The page needs no network and no other file: charts are inline SVG, audio is FLAC in data URIs.
"""

import os
from importlib import resources

import jinja2
import yaml
from markupsafe import Markup

from pipeline import files, stage
from pipeline.report import listening, results
from pipeline.report.changes import Changes, since_last_commit
from pipeline.sections import Params
from pipeline.stage import StageError

PAGE = files.REPORT / "index.html"
COLUMNS = {  # of the table of clips
    "kbps": "kbit/s",
    "snr": "SNR dB",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
    "si_sdr": "SI-SDR dB",
    "seconds": "seconds",
}
TOLD = {"kbps": ("kbit/s", 1), "snr": ("dB SNR", 1), "pesq_wb": ("PESQ", 2), "stoi": ("STOI", 2)}  # below a tile
HEARD_SNR = 30  # dB; of the `snr` points the nearest is played


def main(params: Params) -> None:
    evaluations = results.evaluated()
    require(list(evaluations))
    points = {model: list(results.operating_points(found)) for model, found in evaluations.items()}
    scores = {model: results.table(files.EVALUATION / f"{model}.csv") for model in evaluations}
    heard, ranked_by = chosen_points(points)
    changes = since_last_commit()
    page = _template().render(
        name=os.environ.get("DVC_EXP_NAME", ""),
        root=params.evaluate.root or params.data.root,
        built_in=params.data.is_built_in and not params.evaluate.root,
        evaluations={model: results.operating_points(found) for model, found in evaluations.items()},
        clips=max(found["clips"] for found in evaluations.values()),
        tiles=tiles(evaluations, changes),
        by_rate=results.by_rate(evaluations),
        examples=listening.examples(scores, heard, ranked_by, params.evaluate),
        ranked_by=listening.title(ranked_by),
        scores=[(point, model, scores[model]) for model in points for point in points[model]],
        shown=ranked_by,
        columns=COLUMNS,
        plots=results.declared_plots(),
        gates=results.metrics("gates"),
        codebooks=results.codebooks(),
        codebook_size=params.quantizer.size,
        found=results.metrics("discover"),
        split=results.metrics("preprocess"),
        rejected=results.rejected(),
        changes=changes,
        params=yaml.safe_dump(params.model_dump(), sort_keys=False, allow_unicode=True),
    )
    with files.whole_folder(files.REPORT) as folder:
        (folder / PAGE.name).write_text(page, encoding="utf-8")
    print(f"{PAGE}, {len(page) / 1e6:.1f} MB")


def require(models: list[str]) -> None:
    """Raise a StageError that names what a stage before should have left and did not."""
    needed = [files.SHARDS / "test", *(files.EXPORT / model for model in models)]
    needed += [files.EVALUATION / f"{model}.csv" for model in models]
    if missing := [str(path) for path in needed if not path.exists()]:
        raise StageError(
            f"not there: {', '.join(missing)}; `dvc repro` makes them, `dvc checkout` takes them from the cache"
        )


def chosen_points(points: dict[str, list[str]]) -> tuple[dict[str, str], str]:
    """Which operating points are played, with their models, and the one whose SNR ranks the clips.

    Tokens at their highest rate; of the waveform codec the lowest rate with perception, which Opus stands beside, and
    the SNR nearest to what the user of a waveform codec asks for.
    """
    kinds: dict[str, list[tuple[float, str, str]]] = {}
    for model, names in points.items():
        for name in names:
            kinds.setdefault(results.kind(name), []).append((float(name.rsplit("_", 1)[1]), name, model))
    chosen = [max(kinds["codebooks"])] if "codebooks" in kinds else []
    chosen += [min(kinds["shaped"])] if "shaped" in kinds else []
    chosen += [min(kinds["snr"], key=lambda point: abs(point[0] - HEARD_SNR))] if "snr" in kinds else []
    return {name: model for _, name, model in chosen}, chosen[0][1]


def tiles(evaluations: dict[str, dict], changes: Changes) -> list[dict]:
    """The figures at the top: value, unit, what it is, and by how much it differs from the last commit."""
    heard, _ = chosen_points({model: list(results.operating_points(found)) for model, found in evaluations.items()})
    differences = {(change.file, change.name): change.difference for change in changes.metrics}
    shown = []
    for point, model in heard.items():
        means = evaluations[model][point]
        measure, unit = {"codebooks": ("snr", "dB"), "shaped": ("pesq_wb", "PESQ")}.get(
            results.kind(point), ("kbps", "kbit/s")
        )
        rest = [
            f"{means[name]:.{digits}f} {label}"
            for name, (label, digits) in TOLD.items()
            if name != measure and name in means
        ]
        shown.append(
            {
                "value": means.get(measure),
                "unit": unit,
                "title": listening.title(point),
                "note": " · ".join(rest),
                "difference": differences.get((str(files.METRICS / model / "evaluate.json"), f"{point}.{measure}")),
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

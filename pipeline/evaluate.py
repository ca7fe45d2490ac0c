"""Stage `evaluate`: code every clip of the test split at several rates, as files, and measure what comes out.

`python -m pipeline.evaluate tokens` or `... waveform`. Rates are those of the files, header and checksums and all.
With `--split validation` it only prints, for the speakers by which trainings may be chosen.
"""

import argparse
import math
import sys
from collections.abc import Iterator

import numpy as np
import torch
from tqdm import tqdm

from codec import codec
from codec.metrics import measure
from pipeline import files, stage
from pipeline.sections import Evaluate, Params
from pipeline.shards import Shards
from pipeline.workers import workers

DESCRIBED = ("clip", "source", "speaker", "seconds", "point")
PLOTTED = ("kbps", "snr", "si_sdr", "pesq_wb", "stoi")

Points = dict[str, dict[str, float]]  # name of an operating point, and what `Codec.encode` is asked for


def main(params: Params, model: str, split: str = "test") -> None:
    torch.set_num_threads(params.evaluate.threads)
    points, shards = operating_points(params.evaluate, model), Shards(files.SHARDS / split)
    rows = score(codec.load(files.MODELS, [model]), shards, points)
    summary = summarise(rows, list(points))
    if split == "test":
        _write(model, rows, summary, len(shards), shown_point(params.evaluate, model))
    for name, means in summary.items():
        print(f"{name:16} {_line(means)}")


def _write(model: str, rows: list[dict], summary: dict[str, dict[str, float]], clips: int, shown: str) -> None:
    files.write_csv(files.EVALUATION / f"{model}.csv", rows, list(rows[0]))
    files.write_json(files.METRICS / model / "evaluate.json", {"clips": clips, **summary})
    plots = files.PLOTS / model
    plotted = [{name: means.get(name, math.nan) for name in PLOTTED} for means in summary.values()]
    files.write_csv(plots / "snr_by_rate.csv", sorted(plotted, key=lambda row: row["kbps"]), PLOTTED)
    chosen = [row for row in rows if row["point"] == shown]
    columns = ["clip", "snr", "pesq_wb"]
    files.write_csv(plots / "snr_per_clip.csv", [{key: row[key] for key in columns} for row in chosen], columns)


def operating_points(settings: Evaluate, model: str) -> Points:
    """What each clip is encoded at."""
    if model == "tokens":
        alike = {f"codebooks_{count}": {"tokens": count} for count in sorted(settings.levels)}
        shared = {f"shared_{kbps:g}": {"tokens": 0, "kbps": kbps} for kbps in sorted(settings.shared_kbps)}
        return alike | shared
    exact = {f"snr_{snr:g}": {"snr": snr} for snr in sorted(settings.snr)}
    shaped = {f"shaped_{kbps:g}": {"kbps": kbps, "perception": settings.perception} for kbps in sorted(settings.kbps)}
    return exact | shaped


def shown_point(settings: Evaluate, model: str) -> str:
    """The operating point whose clips are plotted one by one."""
    return f"codebooks_{max(settings.levels)}" if model == "tokens" else f"snr_{max(settings.snr):g}"


def score(coder: codec.Codec, shards: Shards, points: Points) -> list[dict]:
    """One row for every clip and operating point: what and how long it is, the rate, and every measure."""
    jobs = [(clip, point) for clip in range(len(shards)) for point in points]
    with workers() as pool:  # PESQ takes longer than the codec, so it runs beside it
        pending = []
        for clip, point, audio, data, output in tqdm(
            _coded(coder, shards, jobs, points),
            total=len(jobs),
            desc="encode",
            unit="clip",
            file=sys.stderr,
            disable=None,
        ):
            seconds = len(audio) / coder.sample_rate
            record = {name: shards.clips[clip][name] for name in ("clip", "source", "speaker")}
            record |= {"seconds": seconds, "point": point, "kbps": 8 * len(data) / seconds / 1000}
            if "tokens" in points[point]:
                record["codebooks"] = float((coder.read_tokens(data) >= 0).sum(0).float().mean())
            record["output_mean"] = float(output.mean())
            pending.append((record, pool.submit(measure, audio, output)))
        progress = tqdm(pending, desc="measure", unit="clip", file=sys.stderr, disable=None)
        return [{**record, **measured.result()} for record, measured in progress]


def _coded(
    coder: codec.Codec, shards: Shards, jobs: list[tuple[int, str]], points: Points
) -> Iterator[tuple[int, str, np.ndarray, bytes, np.ndarray]]:
    for clip, point in jobs:
        audio = shards.clip(clip)
        data = coder.encode(audio, **points[point])
        yield clip, point, audio, data, coder.decode(data)


def summarise(rows: list[dict], points: list[str]) -> dict[str, dict[str, float]]:
    """Means over clips for each operating point; a measure undefined for a clip leaves that clip out of its mean."""
    names = [name for name in rows[0] if name not in DESCRIBED]
    summary = {}
    for point in points:
        chosen = [row for row in rows if row["point"] == point]
        means = {}
        for name in names:
            defined = [row[name] for row in chosen if not math.isnan(row[name])]
            if defined:
                means[name] = sum(defined) / len(defined)
            if len(defined) < len(chosen):
                means[f"{name}_clips"] = len(defined)
        summary[point] = means
    return summary


def _line(means: dict[str, float]) -> str:
    return f"{means['kbps']:5.2f} kbps  " + "  ".join(
        f"{label} {means[name]:.3g}"
        for label, name in (("SNR", "snr"), ("PESQ-WB", "pesq_wb"), ("STOI", "stoi"))
        if name in means
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate")
    parser.add_argument("model", choices=["tokens", "waveform"])
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    options = parser.parse_args()
    stage.run(main, options.model, options.split)

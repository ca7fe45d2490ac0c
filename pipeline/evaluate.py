"""Stage `evaluate`: code every clip of the test split at several operating points, as files, and measure what comes out.

`python -m pipeline.evaluate tokens` or `... waveform`. Rates are those of the files, header and checksums included. Judges
(`pipeline.judges`) take seconds a clip, so they hear some of the clips at some of the points: `evaluate.judges`,
`judged_points` as far as they are evaluated, and `judged_clips`. With `--split validation` it only prints, for the speakers
by which trainings may be chosen.
"""

import argparse
import contextlib
import math
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

import telucodec
from pipeline import judges
from pipeline.common import files, stage
from pipeline.common.processes import workers
from pipeline.common.sections import Evaluate, Params
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from telucodec import Codec, OperatingPoint
from telucodec.audio.metrics import measure
from telucodec.errors import OutOfReachWarning
from telucodec.models import ENHANCER
from telucodec.networks import runtime

ORIGINAL = "original"  # stands where others name an operating point: what judges say about the clips themselves
DESCRIBED = "clip", "source", "speaker", "seconds", "point", "missed"  # columns that are no measures
PLOTTED = "kbps", "snr", "si_sdr", "pesq_wb", "stoi"
PER_CLIP = "clip", "snr", "pesq_wb"
PRINTED = {"snr": "SNR", "pesq_wb": "PESQ-WB", "stoi": "STOI"}

JUDGED = judges.measures(name for name in judges.JUDGES if name != "levels").keys()

Row = dict[str, str | float]
Values = dict[str, float]
Job = TypeVar("Job")


def main(params: Params, model: str, split: str = "test") -> None:
    settings, shards = params.evaluate, Shards(files.SHARDS / split)
    try:
        judges.require(settings.judges)
    except judges.JudgeError as error:
        raise StageError(f"evaluate.judges: {error}; without judges: -S 'evaluate.judges=[]'") from None
    with trained(model, settings.threads) as codec:
        asked = points(settings, model, codec)
        rows = score(codec, shards, asked, settings)
    summary = summarise(rows)
    if split == "test":
        _write(model, rows, summary, len(shards), shown_point(asked))
    for name, means in summary.items():
        print(f"{name:22} {_line(means, settings)}")


@contextlib.contextmanager
def trained(model: str, threads: int) -> Iterator[Codec]:
    """The codec with a model as training left it. The graphs that it runs are written to a copy: DVC tracks the original."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(files.MODELS / model, Path(folder) / model)
        runtime.complete(Path(folder) / model, model)
        if model == "waveform":
            enhancer = Path(folder) / model / ENHANCER
            shutil.copytree(files.MODELS / ENHANCER, enhancer)
            runtime.complete(enhancer, ENHANCER)
        yield telucodec.load(folder, [model], threads)


def points(settings: Evaluate, model: str, codec: Codec) -> list[OperatingPoint]:
    """What each clip is coded at, by rising value within each family. Of more codebooks than the model has, it uses all."""
    if model == "tokens":
        counts = {min(count, codec.num_codebooks) for count in settings.num_codebooks}
        alike = [OperatingPoint(tokens=count) for count in sorted(counts)]
        return alike + [OperatingPoint(tokens=0, kbps=kbps) for kbps in sorted(set(settings.shared_kbps))]
    exact = [OperatingPoint(snr=snr) for snr in sorted(set(settings.snr))]
    shaped = [OperatingPoint(kbps=kbps, perception=settings.perception) for kbps in sorted(set(settings.kbps))]
    return exact + shaped


def shown_point(points: Iterable[OperatingPoint]) -> str:
    """The operating point whose clips are plotted one by one: the most codebooks, or the highest SNR."""
    return [point for point in points if point.family in ("tokens", "snr")][-1].name


def score(codec: Codec, shards: Shards, points: list[OperatingPoint], settings: Evaluate) -> list[Row]:
    """A row for every clip and operating point, and for every judged clip itself: what it is, the rate, and each measure.

    Where a target is out of reach for a clip, the nearest is measured, and `missed` says so.
    """
    judged = judges.sample(len(shards), settings.judged_clips)
    jobs = [(clip, point) for clip in range(len(shards)) for point in points]
    pending: list[tuple[Row, Future[Values]]] = []
    with workers() as pool:  # PESQ and judges take longer than the codec, so they run beside it
        for clip in sorted(judged) if settings.judges else ():
            audio = shards.clip(clip)
            verdict = pool.submit(judges.judge, settings.judges, audio, audio)
            pending.append((_described(shards, clip, ORIGINAL), verdict))
        for clip, point in _progress(jobs, "encode"):
            row, audio = _described(shards, clip, point.name), shards.clip(clip)
            output = _coded(codec, audio, point, row)
            asked = settings.judges if clip in judged and point.name in settings.judged_points else []
            pending.append((row, pool.submit(_measured, audio, output, [*asked, "levels"])))
        return [{**row, **values.result()} for row, values in _progress(pending, "measure")]


def _described(shards: Shards, clip: int, point: str) -> Row:
    about = {name: shards.clips[clip][name] for name in ("clip", "source", "speaker")}
    return about | {"seconds": len(shards.clip(clip)) / judges.SAMPLE_RATE, "point": point}


def _coded(codec: Codec, audio: np.ndarray, point: OperatingPoint, row: Row) -> np.ndarray:
    """The decoded clip; adds to the row what only the file tells."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OutOfReachWarning)
        data = codec.encode(audio, **point.arguments)
    for warning in caught:
        if warning.category is OutOfReachWarning:
            row["missed"] = str(warning.message)
    row["kbps"] = 8 * len(data) * codec.sample_rate / len(audio) / 1000
    if point.model == "tokens":
        row["codebooks"] = float((codec.read_tokens(data) >= 0).sum(0).mean())
    return codec.decode(data)


def _measured(audio: np.ndarray, output: np.ndarray, names: list[str]) -> Values:
    return {"output_mean": float(output.mean()), **measure(audio, output), **judges.judge(names, audio, output)}


def _progress(jobs: Sequence[Job], what: str) -> Iterable[Job]:
    return tqdm(jobs, desc=what, unit="clip", file=sys.stderr, disable=None)


def summarise(rows: list[Row]) -> dict[str, Values]:
    """Means over clips of every measure, by point.

    A clip for which a measure is undefined is left out of its mean, and `MEASURE_clips` then counts the others. `judged_clips`
    counts the clips that judges heard, `missed_clips` those for which the target was out of reach.
    """
    summary = {}
    for point in dict.fromkeys(str(row["point"]) for row in rows):
        summary[point] = _means([row for row in rows if row["point"] == point])
    return summary


def _means(rows: list[Row]) -> Values:
    means: Values = {}
    for name in dict.fromkeys(name for row in rows for name in row if name not in DESCRIBED):
        values = [float(row[name]) for row in rows if name in row]
        defined = [value for value in values if not math.isnan(value)]
        if defined:
            means[name] = sum(defined) / len(defined)
        if len(defined) < len(values):
            means[f"{name}_clips"] = len(defined)
    if judged := sum(not JUDGED.isdisjoint(row) for row in rows):
        means["judged_clips"] = judged
    if missed := sum("missed" in row for row in rows):
        means["missed_clips"] = missed
    return means


def _write(model: str, rows: list[Row], summary: dict[str, Values], clips: int, shown: str) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in (*DESCRIBED, *row)))
    files.write_csv(files.EVALUATION / f"{model}.csv", rows, columns)
    files.write_json(files.METRICS / model / "evaluate.json", {"clips": clips, **summary})
    plots = files.PLOTS / model
    plotted = [{name: means.get(name, math.nan) for name in PLOTTED} for means in summary.values() if "kbps" in means]
    files.write_csv(plots / "snr_by_rate.csv", sorted(plotted, key=lambda row: row["kbps"]), PLOTTED)
    per_clip = [{name: row.get(name, math.nan) for name in PER_CLIP} for row in rows if row["point"] == shown]
    files.write_csv(plots / "snr_per_clip.csv", per_clip, PER_CLIP)


def _line(means: Values, settings: Evaluate) -> str:
    titles = PRINTED | judges.measures(settings.judges)
    rate = f"{means['kbps']:5.2f} kbps" if "kbps" in means else " " * 10
    missed = [f"out of reach for {means['missed_clips']:g} clips"] if "missed_clips" in means else []
    return "  ".join([rate, *(f"{titles[name]} {means[name]:.3g}" for name in titles if name in means), *missed])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m pipeline.evaluate")
    parser.add_argument("model", choices=["tokens", "waveform"])
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    options = parser.parse_args()
    stage.run(main, options.model, options.split)

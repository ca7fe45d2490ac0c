"""Stage `compare`: other codecs on the same clips, and what ours saves against them: `python -m pipeline.compare`.

Opus is always there; Speex and Codec2 join where ffmpeg has them. Their bits are those of their packets, ours those of the whole
file. Bits saved at equal SNR and at equal PESQ are Bjøntegaard-delta rates with 95 % confidence intervals over clips.
"""

import csv
import math
import sys

import numpy as np
from tqdm import tqdm

from pipeline import files, peers, stage
from pipeline.bjontegaard import Curves, saving
from pipeline.sections import Params
from pipeline.shards import Shards
from pipeline.workers import workers

RATES = {"opus": (6, 8, 12, 16, 24, 32), "speex": (5.75, 9.8, 16.8, 27.8), "codec2": (1.2, 3.2)}  # kbit/s asked for
SHOWN = "kbps", "snr", "si_sdr", "pesq_wb", "stoi"
# Name, model of ours, start of its operating points' names, measure.
COMPARED = (
    ("waveform at equal SNR", "waveform", "snr_", "snr"),
    ("waveform with perception at equal PESQ-WB", "waveform", "shaped_", "pesq_wb"),
    ("tokens at equal SNR", "tokens", "codebooks_", "snr"),
    ("tokens at equal PESQ-WB", "tokens", "codebooks_", "pesq_wb"),
)


def main(params: Params) -> None:
    shards = Shards(files.SHARDS / "test")
    rows = score(shards)
    files.write_csv(files.EVALUATION / "peers.csv", rows, list(rows[0]))
    table = means(rows)
    files.write_json(files.METRICS / "peers.json", table)
    found = savings({"opus": [row for row in rows if row["codec"] == "opus"]})
    files.write_json(files.METRICS / "compare.json", found)
    for name, points in table.items():
        for point in points:
            print(f"{name:8}" + "  ".join(f"{measure} {point[measure]:.2f}" for measure in SHOWN))
    for name, result in found.items():
        print(f"{name}: {_sentence(result)}")


def score(shards: Shards) -> list[dict]:
    """A row for each installed codec, rate and clip: what was spent, and every measure."""
    jobs = [(name, rate, clip) for name in peers.peer_names() for rate in RATES[name] for clip in range(len(shards))]
    with workers() as pool:
        pending = [pool.submit(peers.score, name, shards.clip(clip), rate) for name, rate, clip in jobs]
        progress = tqdm(
            zip(jobs, pending, strict=True), total=len(jobs), desc="peers", unit="clip", file=sys.stderr, disable=None
        )
        return [
            {"codec": name, "asked_kbps": rate, "clip": shards.clips[clip]["clip"], **scored.result()}
            for (name, rate, clip), scored in progress
        ]


def means(rows: list[dict]) -> dict[str, list[dict[str, float]]]:
    """For each codec its operating points, means over clips; a measure undefined for a clip leaves that clip out."""
    table: dict[str, list[dict[str, float]]] = {}
    for name, rate in dict.fromkeys((row["codec"], row["asked_kbps"]) for row in rows):
        chosen = [row for row in rows if (row["codec"], row["asked_kbps"]) == (name, rate)]
        point = {"asked_kbps": rate}
        for measure in SHOWN:
            defined = [row[measure] for row in chosen if not math.isnan(row[measure])]
            point[measure] = sum(defined) / len(defined) if defined else math.nan
        table.setdefault(name, []).append(point)
    return table


def savings(others: dict[str, list[dict]]) -> dict[str, dict]:
    """What ours saves against each of the others; why not, where the curves do not meet."""
    found: dict[str, dict] = {}
    for other, rows in others.items():
        for name, model, prefix, measure in COMPARED:
            ours = [row for row in _read(model) if row["point"].startswith(prefix)]
            title = f"{name}, against {other}"
            try:
                mine, theirs = _curves(ours, "point", measure), _curves(rows, "asked_kbps", measure)
                found[title] = saving(mine, theirs)._asdict()
            except ValueError as error:
                found[title] = {"undefined": str(error)}
    return found


def _read(model: str) -> list[dict]:
    with (files.EVALUATION / f"{model}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _curves(rows: list[dict], point: str, measure: str) -> Curves:
    """Curves [clips, points] of one measure; clips for which it is undefined somewhere are an error."""
    points, clips = (list(dict.fromkeys(row[name] for row in rows)) for name in (point, "clip"))
    places = {(row["clip"], row[point]): row for row in rows}
    values = [
        np.array([[float(places[clip, at][name] or "nan") for at in points] for clip in clips])
        for name in ("kbps", measure)
    ]
    if not np.isfinite(values).all():
        raise ValueError(f"{measure} is undefined for some clip")
    return Curves(*values)


def _sentence(result: dict) -> str:
    if "undefined" in result:
        return result["undefined"]
    return (
        f"{result['percent']:+.1f} % bits ({result['low']:+.1f} to {result['high']:+.1f}), "
        f"from {result['quality_from']:.2f} to {result['quality_to']:.2f}"
    )


if __name__ == "__main__":
    stage.run(main)

"""Stage `compare`: other codecs on the same clips, and what ours saves against Opus: `python -m pipeline.compare`.

Every codec of `pipeline.peers` that is installed is measured as `evaluate` measures ours, judges included; Opus always is.
Their bits are those of their packets alone, ours those of the whole file. Bits saved at equal SNR and at equal PESQ are
Bjøntegaard-delta rates with 95 % confidence intervals over clips: all of them, and the dense and the sparse ones, because codecs
differ in what they spend on pauses.
"""

import csv
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from pipeline import judges, peers
from pipeline.common import files, stage
from pipeline.common.processes import workers
from pipeline.common.sections import Evaluate, Params
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.judges import table
from pipeline.peers import measuring
from pipeline.peers.peer import SAMPLE_RATE
from pipeline.results.bjontegaard import Curves, saving

SHOWN = "kbps", "snr", "si_sdr", "pesq_wb", "stoi"
# What is compared with Opus: its name, our model, how the family of its operating points ends, the measure that is to be equal.
COMPARED = (
    ("waveform at equal SNR", "waveform", "snr", "snr"),
    ("waveform with perception at equal PESQ-WB", "waveform", "kbps", "pesq_wb"),
    ("tokens at equal SNR", "tokens", "tokens", "snr"),
    ("tokens at equal PESQ-WB", "tokens", "tokens", "pesq_wb"),
)
DENSE = 0.6  # share of a clip's frames that hold speech: from there on it is dense, below sparse
FEWEST = 3  # clips of which a saving is computed separately
FRAME_SECONDS = 0.02
BELOW = 35.0  # dB below the loudest twentieth of a clip's frames: what is louder is speech

Row = dict[str, str | float]


def main(params: Params) -> None:
    settings = params.evaluate
    try:
        judges.require(settings.judges)
        peers.require("opus")
    except (judges.JudgeError, peers.PeerError) as error:
        raise StageError(str(error)) from None
    shards = Shards(files.SHARDS / "test")
    rows = score(shards, settings)
    files.write_csv(files.EVALUATION / "peers.csv", rows, list(dict.fromkeys(name for row in rows for name in row)))
    reached = means(rows)
    files.write_json(files.METRICS / "peers.json", reached)
    saved = savings([row for row in rows if row["codec"] == "opus"], kinds(shards))
    files.write_json(files.METRICS / "compare.json", saved)
    for name, points in reached.items():
        for point in points:
            print(f"{name:8}" + "  ".join(f"{measure} {point[measure]:.2f}" for measure in SHOWN if measure in point))
    for name, result in saved.items():
        print(f"{name}: {_sentence(result)}")


def score(shards: Shards, settings: Evaluate) -> list[Row]:
    """A row for each installed codec, rate and clip: what was spent, and every measure."""
    judged = judges.sample(len(shards), settings.judged_clips)
    jobs = [
        (name, kbps, clip)
        for name in peers.installed()
        for kbps in peers.PEERS[name].rates
        for clip in range(len(shards))
    ]
    with workers() as pool:
        pending = []
        for name, kbps, clip in jobs:
            asked = settings.judges if clip in judged and kbps in peers.PEERS[name].judged else []
            pending.append(pool.submit(measuring.score, name, shards.clip(clip), kbps, [*asked, "levels"]))
        progress = tqdm(pending, desc="peers", unit="clip", file=sys.stderr, disable=None)
        return [
            {"codec": name, "asked_kbps": kbps, "clip": shards.clips[clip]["clip"], **scored.result()}
            for (name, kbps, clip), scored in zip(jobs, progress, strict=True)
        ]


def means(rows: Sequence[Row]) -> dict[str, list[dict[str, float]]]:
    """For each codec its operating points, means over clips. A measure undefined for a clip leaves that clip out."""
    shown = [*SHOWN, *judges.measures(judges.JUDGES)]
    reached: dict[str, list[dict[str, float]]] = {}
    for name, kbps in dict.fromkeys((str(row["codec"]), float(row["asked_kbps"])) for row in rows):
        here = [
            {measure: float(row[measure]) for measure in shown if measure in row}
            for row in rows
            if (row["codec"], row["asked_kbps"]) == (name, kbps)
        ]
        reached.setdefault(name, []).append({"asked_kbps": kbps, **table.defined(table.means(here))})
    return reached


def kinds(shards: Shards) -> dict[str, set[str]]:
    """The clips of each kind, by what is appended to the name of a saving. Kinds with too few clips, or all, are left out."""
    shares = {clip["clip"]: speech_share(shards.clip(number)) for number, clip in enumerate(shards.clips)}
    dense = {clip for clip, share in shares.items() if share >= DENSE}
    found = {", dense speech": dense, ", sparse speech": shares.keys() - dense}
    return {"": set(shares), **{kind: clips for kind, clips in found.items() if FEWEST <= len(clips) < len(shares)}}


def speech_share(audio: np.ndarray) -> float:
    """The share of frames of audio [samples] at 16 kHz that hold speech, judged by their energy."""
    size = round(FRAME_SECONDS * SAMPLE_RATE)
    energy = np.square(audio[: len(audio) // size * size].reshape(-1, size)).mean(1)
    loudest = np.sort(energy)[-max(len(energy) // 20, 1) :].mean()
    return float((energy > loudest * 10 ** (-BELOW / 10)).mean())


def savings(theirs: Sequence[Row], kinds: Mapping[str, set[str]]) -> dict[str, dict]:
    """What ours saves against Opus, or why that is undefined, such as curves that do not meet.

    Args:
        kinds: the clips of each kind, by what is appended to the name of a saving.
    """
    saved: dict[str, dict] = {}
    for name, model, family, measure in COMPARED:
        ours = [row for row in _read(model) if row["point"].rpartition("_")[0].endswith(family)]
        for kind, clips in kinds.items():
            try:
                mine = _curves([row for row in ours if row["clip"] in clips], "point", measure)
                reference = _curves([row for row in theirs if row["clip"] in clips], "asked_kbps", measure)
                result = saving(mine, reference)._asdict()
            except ValueError as error:
                result = {"undefined": str(error)}
            saved[f"{name}, against opus{kind}"] = result
    return saved


def _read(model: str) -> list[dict[str, str]]:
    with (files.EVALUATION / f"{model}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _curves(rows: Sequence[Mapping[str, str | float]], point: str, measure: str) -> Curves:
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

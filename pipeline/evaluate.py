"""Stage `evaluate`: encode, decode and measure every clip of the test split at several numbers of codebooks."""

import math
import sys
from collections.abc import Iterator

import numpy as np
import torch
from tqdm import tqdm

from codec.metrics import measure
from codec.tokens import TokenCodec
from pipeline import files, stage
from pipeline.params import Params
from pipeline.shards import Shards
from pipeline.workers import workers


def main(params: Params) -> None:
    torch.set_num_threads(params.evaluate.threads)
    codec, shards = TokenCodec.load(files.MODEL), Shards(files.SHARDS / "test")
    rows = score(codec, shards, params.evaluate.levels)
    columns = list(rows[0])
    files.write_csv(files.CLIP_SCORES, rows, columns)
    summary = summarise(rows, params.evaluate.levels)
    files.write_json(files.METRICS / "evaluate.json", {"clips": len(shards), **summary})
    plotted = [
        {name: means.get(name, math.nan) for name in ("kbps", "snr", "si_sdr", "pesq_wb", "stoi")}
        for means in summary.values()
    ]
    files.write_csv(files.PLOTS / "snr_by_rate.csv", plotted, list(plotted[0]))
    deepest = [row for row in rows if row["levels"] == max(params.evaluate.levels)]
    files.write_csv(
        files.PLOTS / "snr_per_clip.csv",
        [{key: row[key] for key in ("clip", "snr", "pesq_wb")} for row in deepest],
        ["clip", "snr", "pesq_wb"],
    )
    for name, means in summary.items():
        print(f"{name}: {_line(means)}")


def score(codec: TokenCodec, shards: Shards, levels: list[int]) -> list[dict]:
    """One row for every clip and number of codebooks: what and how long it is, the rate, and every measure."""
    jobs = [(clip, count) for clip in range(len(shards)) for count in levels]
    with workers() as pool:  # PESQ takes longer than the codec, so it runs beside it
        pending = []
        for clip, count, audio, output in tqdm(
            _coded(codec, shards, jobs), total=len(jobs), desc="encode", unit="clip", file=sys.stderr, disable=None
        ):
            described = _describe(codec, shards.clips[clip], count, len(audio))
            described["output_mean"] = float(output.mean())
            pending.append((described, pool.submit(measure, audio, output)))
        progress = tqdm(pending, desc="measure", unit="clip", file=sys.stderr, disable=None)
        return [{**described, **measured.result()} for described, measured in progress]


def _coded(
    codec: TokenCodec, shards: Shards, jobs: list[tuple[int, int]]
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    for clip, levels in jobs:
        audio = shards.clip(clip)
        codes = codec.encode(torch.from_numpy(audio)[None], levels)
        yield clip, levels, audio, codec.decode(codes, len(audio))[0].numpy()


def _describe(codec: TokenCodec, record: dict, levels: int, samples: int) -> dict:
    seconds = samples / codec.config.sample_rate
    bits = codec.mdct.frames(samples) * levels * math.log2(codec.config.quantizer.size)
    return {
        "clip": record["clip"],
        "source": record["source"],
        "speaker": record["speaker"],
        "seconds": seconds,
        "levels": levels,
        "kbps": codec.nominal_kbps(levels),
        "payload_kbps": bits / seconds / 1000,
    }


def summarise(rows: list[dict], levels: list[int]) -> dict[str, dict[str, float]]:
    """Means over clips for each number of codebooks; a measure undefined for a clip leaves that clip out of its mean."""
    described = {"clip", "source", "speaker", "seconds", "levels"}
    names = [name for name in rows[0] if name not in described]
    summary = {}
    for count in sorted(levels):
        chosen = [row for row in rows if row["levels"] == count]
        means = {}
        for name in names:
            defined = [row[name] for row in chosen if not math.isnan(row[name])]
            if defined:
                means[name] = sum(defined) / len(defined)
            if len(defined) < len(chosen):
                means[f"{name}_clips"] = len(defined)
        summary[f"codebooks_{count}"] = means
    return summary


def _line(means: dict[str, float]) -> str:
    return f"{means['kbps']:.1f} kbps nominal  " + "  ".join(
        f"{label} {means[name]:.3g}"
        for label, name in (("SNR", "snr"), ("PESQ-WB", "pesq_wb"), ("STOI", "stoi"))
        if name in means
    )


if __name__ == "__main__":
    stage.run(main)

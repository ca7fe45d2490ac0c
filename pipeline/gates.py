"""Stage `gates`: the targets for the start, the middle and the end of the token codec's training, met or missed.

For a missed SNR it states the rate that the speech needs (stage `bound`), because no codec can do with less.
"""

import csv
import json
import math
from typing import NamedTuple

import numpy as np

from pipeline.common import files, stage
from pipeline.common.sections import Gate, Gates, Params

Curve = list[dict[str, float]]  # points of `kbps` and `snr`


class Measure(NamedTuple):
    title: str
    unit: str
    at_most: bool  # whether lower is better


MEASURES = {
    "snr": Measure("SNR", "dB", at_most=False),
    "loss": Measure("total loss", "", at_most=True),
    "range_ratio": Measure("range ratio", "", at_most=False),
}


def main(params: Params) -> None:
    with (files.PLOTS / "tokens" / "history.csv").open(encoding="utf-8", newline="") as file:
        history = [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]
    verdicts = judge(history, params.gates)
    bound = json.loads((files.METRICS / "bound.json").read_text(encoding="utf-8"))
    met = [verdict["met"] for gate in verdicts.values() for verdict in gate.values()]
    files.write_json(files.METRICS / "gates.json", {"met": sum(met), "missed": len(met) - sum(met), **verdicts})
    text = page(verdicts, bound, nominal_kbps(params))
    files.write_text(files.GATES, text)
    print(text)


def nominal_kbps(params: Params) -> float:
    """The rate of the codes alone, in kbit/s."""
    frame_rate = params.preprocess.sample_rate / params.model.hop
    return frame_rate * params.quantizer.num_codebooks * math.log2(params.quantizer.codebook_size) / 1000


def judge(history: Curve, gates: Gates) -> dict[str, dict[str, dict[str, float | bool]]]:
    """For each gate that training reached and each measure: its `value`, the `wanted` one, and whether it is `met`.

    Args:
        history: one row per epoch, the first one before training, with `snr`, `loss` and `range_ratio`.
    """
    reached: dict[str, tuple[Gate, dict[str, float]]] = {"epoch 0": (gates.start, history[0])}
    if len(history) > gates.middle.epoch:
        reached[f"epoch {gates.middle.epoch}"] = (gates.middle, history[gates.middle.epoch])
    reached[f"end, epoch {len(history) - 1}"] = (gates.end, history[-1])
    return {
        name: {measure: _verdict(measure, row[measure], getattr(gate, measure)) for measure in MEASURES}
        for name, (gate, row) in reached.items()
    }


def _verdict(measure: str, value: float, wanted: float) -> dict[str, float | bool]:
    met = value <= wanted if MEASURES[measure].at_most else value >= wanted
    return {"value": value, "wanted": wanted, "met": met}


def page(verdicts: dict[str, dict[str, dict]], bound: dict[str, Curve], kbps: float) -> str:
    """The gates as Markdown.

    Args:
        bound: contents of metrics/bound.json.
        kbps: rate of the tokens.
    """
    lines = ["# Targets and results", "", "| | target | reached | |", "|---|---|---|---|"]
    missed = set()
    for name, gate in verdicts.items():
        for key, verdict in gate.items():
            measure = MEASURES[key]
            limit = "at most" if measure.at_most else "at least"
            target = f"{limit} {verdict['wanted']:g} {measure.unit}".rstrip()
            reached = f"{verdict['value']:.2f} {measure.unit}".rstrip()
            lines.append(
                f"| {name}: {measure.title} | {target} | {reached} | {'met' if verdict['met'] else '**missed**'} |"
            )
            if key == "snr" and not verdict["met"]:
                missed.add(verdict["wanted"])
    variable, fixed = (interpolated(bound[name], "kbps", kbps, "snr") for name in ("charged", "fixed_rate"))
    lines += [
        "",
        f"The tokens take {kbps:g} kbit/s. What the test clips allow with any codec (docs/bound.md):",
        "",
        f"- at this rate about {variable:.1f} dB with bits that follow the speech, and {fixed:.1f} dB with equally many bits "
        "for every frame if the decoder knew each frame's spectrum for free",
    ]
    for wanted in sorted(missed):
        needed = interpolated(bound["charged"], "snr", wanted, "kbps")
        lines.append(
            f"- {wanted:g} dB needs about {needed:.1f} kbit/s: `telucodec encode --snr {wanted:g}` delivers it"
        )
    return "\n".join(lines) + "\n"


def interpolated(curve: Curve, key: str, at: float, wanted: str) -> float:
    """The value of `wanted` where `key` is `at`, on a curve of points; beyond its ends, that of the last point."""
    points = sorted((point[key], point[wanted]) for point in curve)
    return float(np.interp(at, [x for x, _ in points], [y for _, y in points]))


if __name__ == "__main__":
    stage.run(main)

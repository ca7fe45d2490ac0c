"""Stage `gates`: what was hoped for at the start, in the middle and at the end of training, met or missed.

For a missed SNR it says what rate the speech asks for (stage `bound`), so that nobody chases what no codec could give.
"""

import csv
import json
import math

import numpy as np

from pipeline import files, stage
from pipeline.sections import Gates, Params

MEASURES = {
    "snr": ("SNR", "dB", "at least"),
    "loss": ("total loss", "", "at most"),
    "range_ratio": ("range ratio", "", "at least"),
}


def main(params: Params) -> None:
    with (files.PLOTS / "tokens" / "history.csv").open(encoding="utf-8", newline="") as file:
        history = [{key: float(value or "nan") for key, value in row.items()} for row in csv.DictReader(file)]
    judged = judge(history, params.gates, params.quantizer.levels)
    bound = json.loads((files.METRICS / "bound.json").read_text(encoding="utf-8"))
    kbps = (
        params.preprocess.sample_rate
        / params.model.hop
        * params.quantizer.levels
        * math.log2(params.quantizer.size)
        / 1000
    )
    met = [gate["met"] for gates in judged.values() for gate in gates.values()]
    files.write_json(files.METRICS / "gates.json", {"met": sum(met), "missed": len(met) - sum(met), **judged})
    text = page(judged, bound, kbps)
    files.write_text(files.GATES, text)
    print(text)


def judge(history: list[dict[str, float]], gates: Gates, levels: int) -> dict[str, dict[str, dict]]:
    """For each gate that training got to, each measure: its `value` and the one `wanted`, and whether it is `met`.

    Args:
        history: a row an epoch, the first one before training, with `snr_N`, `loss` and `range_ratio`.
        levels: number of codebooks at which SNR is judged.
    """
    reached = {"epoch 0": (gates.start, history[0])}
    if len(history) > gates.middle.epoch:
        reached[f"epoch {gates.middle.epoch}"] = (gates.middle, history[gates.middle.epoch])
    reached[f"end, epoch {len(history) - 1}"] = (gates.end, history[-1])
    judged: dict[str, dict[str, dict]] = {}
    for name, (gate, row) in reached.items():
        values = {"snr": row[f"snr_{levels}"], "loss": row["loss"], "range_ratio": row["range_ratio"]}
        judged[name] = {
            measure: {
                "value": value,
                "wanted": getattr(gate, measure),
                "met": value <= gate.loss if measure == "loss" else value >= getattr(gate, measure),
            }
            for measure, value in values.items()
        }
    return judged


def page(judged: dict[str, dict[str, dict]], bound: dict[str, list[dict[str, float]]], kbps: float) -> str:
    """The gates as Markdown. `bound` is metrics/bound.json, `kbps` the rate of the tokens."""
    lines = ["# Hoped for, and reached", "", "| | hoped for | reached | |", "|---|---|---|---|"]
    missed = set()
    for name, gates in judged.items():
        for measure, gate in gates.items():
            title, unit, way = MEASURES[measure]
            verdict = "met" if gate["met"] else "**missed**"
            hoped, reached = f"{way} {gate['wanted']:g} {unit}".rstrip(), f"{gate['value']:.2f} {unit}".rstrip()
            lines.append(f"| {name}: {title} | {hoped} | {reached} | {verdict} |")
            if measure == "snr" and not gate["met"]:
                missed.add(gate["wanted"])
    lines += [
        "",
        f"Tokens are coded at {kbps:g} kbit/s. What the test clips allow, whatever the codec (docs/bound.md):",
        "",
    ]
    followed, equal = (interpolated(bound[name], "kbps", kbps, "snr") for name in ("charged", "fixed_rate"))
    lines.append(
        f"- at this rate about {followed:.1f} dB with bits that follow the speech, and {equal:.1f} dB with as many bits for "
        "every frame, if the decoder knew each frame's spectrum for nothing;"
    )
    for wanted in sorted(missed):
        asked = interpolated(bound["charged"], "snr", wanted, "kbps")
        lines.append(
            f"- {wanted:g} dB asks for about {asked:.1f} kbit/s: `telucodec encode --snr {wanted:g}` gives it."
        )
    return "\n".join(lines).removesuffix(";") + "\n"


def interpolated(curve: list[dict[str, float]], key: str, at: float, wanted: str) -> float:
    """Of a curve of points, the value of `wanted` where `key` is `at`; at its ends the last one's."""
    points = sorted((point[key], point[wanted]) for point in curve)
    return float(np.interp(at, *zip(*points, strict=True)))


if __name__ == "__main__":
    stage.run(main)

"""`telucodec evaluate`."""

import argparse
import json
import math

from telucodec import load
from telucodec.audio.metrics import measure
from telucodec.audio.samples import FULL_SCALE
from telucodec.cli.arguments import operating_point
from telucodec.cli.jobs import each, read_audio

SHOWN = "kbps", "snr", "si_sdr", "pesq_wb", "stoi"


def run(options: argparse.Namespace) -> None:
    point, codec = operating_point(options), load(options.model)
    rows: list[dict] = []

    def evaluate(source: str) -> None:
        audio = read_audio(source, codec.sample_rate)
        data = codec.encode(audio, **point.arguments, strict=options.strict)
        kbps = 8 * len(data) / max(len(audio), 1) * codec.sample_rate / 1000
        measures = measure((audio / FULL_SCALE).astype("float32"), codec.decode(data))
        rows.append({"file": source, "bytes": len(data), "kbps": kbps, **measures})

    try:
        each(options.inputs, evaluate, options.fail_fast)
    finally:
        if rows:
            show(rows, options.json)


def show(rows: list[dict], as_json: bool) -> None:
    """Print the measures of each file, and their means over the files for which they are defined."""
    names = [name for name in rows[0] if name not in ("file", "bytes")]
    defined = {name: [row[name] for row in rows if not math.isnan(row[name])] for name in names}
    mean = {name: sum(values) / len(values) for name, values in defined.items() if values}
    if as_json:
        valid = [
            {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
            for row in rows
        ]
        print(json.dumps({"files": valid, "mean": mean}, indent=2))
        return
    print(f"{'':40}" + "".join(f"{name:>9}" for name in SHOWN))
    for row in [*rows, {"file": "mean", **mean}]:
        print(f"{row['file'][-40:]:40}" + "".join(f"{row.get(name, math.nan):9.3f}" for name in SHOWN))

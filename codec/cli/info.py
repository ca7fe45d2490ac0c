"""`telucodec info`."""

import argparse
import json

from telucodec.cli.jobs import named, read_bytes
from telucodec.files.header import Mode, read_header


def run(options: argparse.Namespace) -> None:
    data = read_bytes(options.input)
    with named(options.input):
        header, start = read_header(data)
    names = ("step", "shaping") if header.mode is Mode.WAVEFORM else ("codebooks", "mean_codebooks")
    seconds = None if header.samples is None else header.samples / header.sample_rate
    facts = {
        "mode": header.mode.name.lower(),
        "model": header.model.hex(),
        "sample_rate": header.sample_rate,
        "samples": header.samples,
        "seconds": seconds,
        "bytes": len(data),
        "kbps": 8 * len(data) / seconds / 1000 if seconds else None,
        "header_bytes": start,
        "packet_frames": header.packet_frames,
        "key_packets": header.key_packets,
        **dict(zip(names, header.settings, strict=True)),
        **({"own_steps": header.own_steps, "dtx": header.dtx} if header.mode is Mode.WAVEFORM else {}),
    }
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        shown = "unknown" if value is None else f"{value:.3f}" if isinstance(value, float) else value
        print(f"{name:14} {shown}")

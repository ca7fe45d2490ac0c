"""`telucodec tokenize`."""

import argparse

from telucodec import dataset, load
from telucodec.cli.jobs import warnings_of
from telucodec.errors import CodecError


def run(options: argparse.Namespace) -> None:
    with warnings_of("telucodec"):
        summary = dataset.write(
            load(options.model),
            options.folder,
            options.output,
            options.codebooks,
            options.shard_size,
            options.format,
            options.jobs,
        )
    rejected = summary.pop("rejected")
    for name, value in summary.items():
        print(f"{name:24} {value}")
    if rejected:
        reasons = "; ".join(one["reason"] for one in rejected[:3])
        raise CodecError(
            f"{len(rejected)} recordings are not in the dataset, {options.output}/dataset.json names all: {reasons}"
        )

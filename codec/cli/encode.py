"""`telucodec encode`."""

import argparse

from telucodec import load
from telucodec.cli.arguments import operating_point
from telucodec.cli.jobs import each, jobs, spool_audio, write_bytes


def run(options: argparse.Namespace) -> None:
    point, pairs = operating_point(options), jobs(options, ".tlc")
    codec = load(options.model)

    def encode(source: str) -> None:
        audio = spool_audio(source, codec.sample_rate)
        write_bytes(pairs[source], codec.encode(audio, **point.arguments, strict=options.strict))

    each(list(pairs), encode, options.fail_fast)

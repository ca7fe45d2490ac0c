"""`telucodec decode`."""

import argparse

from telucodec import load
from telucodec.audio.writing import write_wav
from telucodec.cli.jobs import each, jobs, read_bytes


def run(options: argparse.Namespace) -> None:
    pairs, codec = jobs(options, ".wav"), load(options.model)

    def decode(source: str) -> None:
        blocks = codec.decode_blocks(read_bytes(source), options.lenient, not options.plain)
        write_wav(pairs[source], blocks, codec.sample_rate, options.float)

    each(list(pairs), decode, options.fail_fast)

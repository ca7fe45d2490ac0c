"""Fuzzing of everything that reads a `.tlc` file: `python -m tools.fuzz --seconds 300`.

Takes sound files and streams, damages them at random, and decodes strictly, leniently and as a stream. Half of the damaged
headers and packets get a fitting checksum, so that what lies behind the checks is reached. A finding is an exception of
another kind than documented, lenient output of a wrong length, an input that takes long, or too much memory. Findings are
written to `--folder`, one file each, and the exit code is 1.
"""

import argparse
import itertools
import resource
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path

import numpy as np

import telucodec
from telucodec.errors import ContainerError, ModelError
from telucodec.files import container
from tests.codec.conftest import save_models
from tests.conftest import speech

DOCUMENTED = ContainerError, ModelError
LIMIT_SECONDS = 20
MEMORY = 6 << 30
SANE = 1 << 19  # samples: a longer file may take its time, so only its refusal is tried


def seeds(telu: telucodec.Codec) -> list[bytes]:
    audio = speech(1.0, seed=2)
    encoders = telu.stream_encoder(250), telu.stream_encoder(kbps=24, perception=1.0, independent=True)
    streams = [encoder.push(audio[:6000]) + encoder.finish() for encoder in encoders]
    files = [telu.encode(audio, step=250), telu.encode(audio, step=250, perception=0.7), telu.encode(audio, tokens=3)]
    return [*files, telu.encode(audio[:0], step=9), *streams, telu.encode(np.tile(audio, 5), tokens=1)]


def damaged(random: np.random.Generator, data: bytes) -> bytes:
    """A few random changes; sometimes with the checksums made to fit."""
    header, start = container.read_header(data)
    count = header.packets(240 if header.mode is container.Mode.WAVEFORM else 320)
    parts = list(container.read_packets(data, start, count))
    head, fits = bytearray(data[:start]), random.random() < 0.5
    if fits:  # change what the checksums cover, then compute them anew
        if random.random() < 0.5:
            place = int(random.integers(3, start - 2))
            head[place] = int(random.choice([0, 1, 127, 128, 255, random.integers(256)]))
            head[-2:] = (zlib.crc32(head[:-2]) & 0xFFFF).to_bytes(2, "big")
        if parts and random.random() < 0.8:
            hit = int(random.integers(len(parts)))
            parts[hit] = parts[hit][0], changed(random, parts[hit][1])
        if parts and random.random() < 0.1:  # a number out of order
            hit = int(random.integers(len(parts)))
            parts[hit] = int(random.integers(-1, 1 << 20)), parts[hit][1]
        return bytes(head) + b"".join(container.write_packet(*part) for part in parts)
    return changed(random, data)


def changed(random: np.random.Generator, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        start, end = sorted(int(place) for place in random.integers(0, len(out) + 1, 2))
        end = min(end, start + int(random.integers(1, 64)))
        kind = random.integers(6)
        if kind == 0 and out:
            out[min(start, len(out) - 1)] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del out[start:end]
        elif kind == 2:
            del out[start:]
        elif kind == 3:
            out[start:start] = out[start:end]
        elif kind == 4:
            out[start:end] = random.bytes(end - start)
        else:
            out[start:start] = bytes([container.MARKER]) + random.bytes(int(random.integers(8)))
    return bytes(out)


def decode(telu: telucodec.Codec, data: bytes, random: np.random.Generator) -> str:
    """Decode in one of three ways; what came out, in a word."""
    try:
        header, _ = container.read_header(data)
    except ContainerError:
        header = None
    huge = header is not None and (header.samples or 0) > SANE
    way = int(random.integers(3))
    try:
        if way == 2:
            decoder = telu.stream_decoder(lenient=random.random() < 0.5)
            size = int(random.integers(1, 200))
            for start in range(0, len(data), size):
                decoder.push(data[start : start + size])
                if random.random() < 0.05:
                    decoder.conceal()
            return "stream"
        if huge:  # the first stretch, or the refusal
            list(itertools.islice(telu.decode_blocks(data, lenient=bool(way)), 1))
            return "huge"
        output = telu.decode(data, lenient=bool(way))
    except DOCUMENTED as error:
        return type(error).__name__
    if header.samples is not None and output.shape != (header.samples,):
        raise AssertionError(f"{output.shape} samples instead of {header.samples}")
    if not np.isfinite(output).all():
        raise AssertionError("output is not finite")
    return "decoded"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, help="folder with models (default: tiny ones made for this)")
    parser.add_argument("--folder", type=Path, default=Path("fuzz-findings"), help="where findings go")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        return fuzz(telucodec.load(options.model or save_models(Path(folder))), options)


def fuzz(telu: telucodec.Codec, options: argparse.Namespace) -> int:
    """Damage and decode until the time is over; the exit code is 1 when there are findings."""
    intact, random = seeds(telu), np.random.default_rng(options.seed)
    counts: dict[str, int] = {}
    findings, end = 0, time.monotonic() + options.seconds
    while time.monotonic() < end:
        data = damaged(random, intact[int(random.integers(len(intact)))])
        began = time.monotonic()
        try:
            outcome = decode(telu, data, random)
            if time.monotonic() - began > LIMIT_SECONDS:
                raise AssertionError(f"took {time.monotonic() - began:.0f} s")
        except Exception:
            outcome, findings = "finding", findings + 1
            options.folder.mkdir(parents=True, exist_ok=True)
            (options.folder / f"{zlib.crc32(data):08x}.tlc").write_bytes(data)
            traceback.print_exc()
        counts[outcome] = counts.get(outcome, 0) + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{sum(counts.values())} executions, {findings} findings, peak memory {peak} MB: {counts}")
    return int(findings > 0)


if __name__ == "__main__":
    sys.exit(main())

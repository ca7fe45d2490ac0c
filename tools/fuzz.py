"""Fuzzing of everything that reads a `.tlc` file: `python -m tools.fuzz --count 1000000`.

Damages files and streams at random, and decodes them strictly, leniently and as a stream. Half of the damaged headers and
packets get a fitting checksum, so that what lies behind the checks is reached. A finding is an exception of another kind than
documented, lenient output of a wrong length, a crash, an input that takes long, or one that needs more memory than its length
explains. Findings are written to `--folder`, one file each, and the exit code is 1.
"""

import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

import telucodec
from telucodec.errors import ContainerError, ModelError
from telucodec.files import container
from telucodec.files.header import Mode, read_header
from tests.codec.conftest import save_models
from tests.conftest import speech
from tools import fuzzing

DOCUMENTED = ContainerError, ModelError
LIMIT_SECONDS, LIMIT_MEGABYTES = 10, 300
ENOUGH = 1 << 16  # samples that are decoded of one input
HOPS = {Mode.WAVEFORM: 240, Mode.TOKENS: 320}


def seeds(telu: telucodec.Codec) -> list[bytes]:
    """Files of one packet, of two, of none, and streams of many: as short as that allows, so that many can be tried."""
    audio = speech(2.1, seed=2)
    short = audio[:3200]
    pauses = np.concatenate([short, np.zeros(8000, np.float32)])
    streams = [
        encoder.push(sound) + encoder.finish()
        for encoder, sound in (
            (telu.stream_encoder(250), short),
            (telu.stream_encoder(kbps=24, perception=1.0, independent=True), short),
            (telu.stream_encoder(250, 1.0, dtx=True), pauses),
        )
    ]
    files = [telu.encode(short, step=250), telu.encode(short, step=250, perception=0.7), telu.encode(short, tokens=3)]
    longer = [telu.encode(audio, tokens=1), telu.encode(audio, tokens=4, kbps=1)]
    return [*files, telu.encode(audio[:0], step=9), *streams, *longer]


def damaged(random: np.random.Generator, data: bytes) -> bytes:
    """A few random changes; sometimes with the checksums made to fit."""
    header, start = read_header(data)
    count = header.packets(HOPS[header.mode])
    parts = [
        packet
        for packet in container.read_packets(data, start, count, most_left_out=header.most_left_out)
        if packet[1] is not None
    ]
    head, fits = bytearray(data[:start]), random.random() < 0.5
    if fits:  # change what the checksums cover, then compute them anew
        if random.random() < 0.5:
            place = int(random.integers(3, start - 2))
            head[place] = int(random.choice([0, 1, 127, 128, 255, random.integers(256)]))
            head[-2:] = (zlib.crc32(head[:-2]) & 0xFFFF).to_bytes(2, "big")
        if parts and random.random() < 0.8:
            hit = int(random.integers(len(parts)))
            parts[hit] = parts[hit][0], fuzzing.changed(random, parts[hit][1])
        if parts and random.random() < 0.1:  # a number out of order
            hit = int(random.integers(len(parts)))
            parts[hit] = int(random.integers(-1, 1 << 20)), parts[hit][1]
        return bytes(head) + b"".join(container.write_packet(*part) for part in parts)
    return fuzzing.changed(random, data)


def decode(telu: telucodec.Codec, data: bytes, random: np.random.Generator) -> str:
    """Decode in one of three ways; what came out, in a word."""
    try:
        header, _ = read_header(data)
    except ContainerError:
        header = None
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
        length = 0
        for block in telu.decode_blocks(data, lenient=bool(way)):
            if not np.isfinite(block).all():
                raise AssertionError("output is not finite")
            length += len(block)
            if length > ENOUGH:
                return "decoded in part"
    except DOCUMENTED as error:
        return type(error).__name__
    if header.samples not in (None, length):
        raise AssertionError(f"{length} samples instead of {header.samples}")
    return "decoded"


def fuzzed(telu: telucodec.Codec) -> fuzzing.Fuzzed:
    intact = seeds(telu)

    def chosen(random: np.random.Generator) -> tuple[bytes, str]:
        data = damaged(random, intact[int(random.integers(len(intact)))])
        return data, f"{zlib.crc32(data):08x}.tlc"

    return fuzzing.Fuzzed(chosen, lambda data, random: decode(telu, data, random), LIMIT_SECONDS, LIMIT_MEGABYTES)


def main() -> int:
    parser = fuzzing.arguments("python -m tools.fuzz", "Fuzz everything that reads .tlc files.", Path(".work/fuzz"))
    parser.add_argument("--model", type=Path, help="folder with models (default: tiny ones made for this)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        telu = telucodec.load(options.model or save_models(Path(folder)))
        return int(fuzzing.fuzz(fuzzed(telu), options.count, options.seed, options.folder) > 0)


if __name__ == "__main__":
    sys.exit(main())

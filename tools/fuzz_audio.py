"""Fuzzing of the reader of recordings: `python -m tools.fuzz_audio --count 100000`.

Damages recordings of twelve formats at random, mostly in their headers, and reads them. A finding is another exception than
`AudioError`, an input that takes long, or one that needs much memory. It is written to `--folder`, and the exit code is 1.
"""

import argparse
import io
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from telucodec.audio.reading import read_with_notes
from telucodec.errors import AudioError
from tests.codec.audio import recordings
from tests.conftest import speech

RATE, SECONDS = 16000, 1.5
LIMIT_SECONDS, LIMIT_MEGABYTES = 10, 400
ENCODED = {
    "mp3": ("libmp3lame", "mp3", RATE),
    "aac": ("aac", "adts", RATE),
    "m4a": ("aac", "mp4", RATE),
    "caf": ("alac", "caf", RATE),
    "webm": ("libopus", "webm", 48000),
    "wma": ("wmav2", "asf", RATE),
    "amr": ("libopencore_amrnb", "amr", 8000),
}
WRITTEN = "WAV", "FLAC", "OGG", "AIFF", "AU"


def seeds() -> dict[str, bytes]:
    """A recording of each format."""
    made = {}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "seed")
        for label, (codec, container, rate) in ENCODED.items():
            made[label] = recordings.write(path, speech(SECONDS, 1, rate), rate, codec, container).read_bytes()
        for form in WRITTEN:
            soundfile.write(path, speech(SECONDS), RATE, format=form)
            made[form.lower()] = path.read_bytes()
    return made


def damaged(random: np.random.Generator, data: bytes) -> bytes:
    """A few random changes, mostly near the beginning; sometimes the end is missing."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 12)):
        within = min(len(changed), int(random.choice([64, 400, 4000, len(changed)])))
        changed[random.integers(within)] = random.choice([0, 1, 127, 128, 255, random.integers(256)])
    return bytes(changed[: random.integers(1, len(changed))] if random.random() < 0.3 else changed)


def fault(data: bytes) -> str | None:
    """What is wrong with how the reader takes a file; None if all is well."""
    began = time.monotonic()
    try:
        read_with_notes(io.BytesIO(data), RATE, "fuzzed")
    except AudioError:
        pass
    except Exception:
        return traceback.format_exc(limit=-4)
    spent, peak = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    if spent > LIMIT_SECONDS:
        return f"{spent:.0f} s"
    return f"{peak:.0f} MB" if peak > LIMIT_MEGABYTES else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz_audio", description="Fuzz the reader of recordings.")
    parser.add_argument("--count", type=int, default=100_000, help="number of inputs (default: 100000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(".work/fuzz_audio"), help="for inputs that have a fault")
    options = parser.parse_args()
    random, originals = np.random.default_rng(options.seed), seeds()
    for number in tqdm(range(options.count), unit="file", file=sys.stderr, disable=None):
        label = str(random.choice(list(originals)))
        data = damaged(random, originals[label])
        if reason := fault(data):
            options.folder.mkdir(parents=True, exist_ok=True)
            path = options.folder / f"{options.seed}-{number}.{label}"
            path.write_bytes(data)
            sys.exit(f"{path}: {reason}")
    print(f"{options.count} inputs of {len(originals)} formats, no fault")


if __name__ == "__main__":
    main()

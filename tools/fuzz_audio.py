"""Fuzzing of the reader of recordings: `python -m tools.fuzz_audio --count 100000`.

Damages recordings of twelve formats at random, mostly in their headers, and reads them from memory and from a file. A finding is
another exception than `AudioError`, a crash, an input that takes long, or needs much memory, or becomes something else in the
two ways. It is written to `--folder`, and the exit code is 1.
"""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from telucodec.audio.reading import Source, read_with_notes
from telucodec.errors import AudioError
from tests.codec.audio import recordings
from tests.conftest import speech
from tools import fuzzing

RATE, SECONDS = 16000, 1.5
LIMIT_SECONDS, LIMIT_MEGABYTES = 10, 300
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
    """A few random changes, mostly near the beginning; sometimes stretches move or the end is missing."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 12)):
        within = min(len(changed), int(random.choice([64, 400, 4000, len(changed)])))
        changed[random.integers(within)] = random.choice([0, 1, 127, 128, 255, random.integers(256)])
    if random.random() < 0.2:
        changed = bytearray(fuzzing.changed(random, bytes(changed)))
    return bytes(changed[: random.integers(len(changed) + 1)] if random.random() < 0.3 else changed)


def outcome(data: bytes, file: Path) -> str:
    """Read a recording from memory and, in another way, from a file; what came of it, in a word."""
    file.write_bytes(data)
    word, samples = _read(io.BytesIO(data))
    other, others = _read(file)
    assert (word, samples.tolist()) == (other, others.tolist()), f"from memory {word}, from a file {other}"
    return word


def _read(source: Source) -> tuple[str, np.ndarray]:
    try:
        sound = read_with_notes(source, RATE, "fuzzed")
    except AudioError as error:
        if not str(error).startswith("fuzzed: "):
            raise AssertionError(f"does not name the file: {error}") from error
        return "refused", np.zeros(0)
    return ("partly read" if sound.fault else "read"), sound.samples


def main() -> int:
    parser = fuzzing.arguments("python -m tools.fuzz_audio", "Fuzz the reader of recordings.", Path(".work/fuzz_audio"))
    options = parser.parse_args()
    originals = seeds()

    def chosen(random: np.random.Generator) -> tuple[bytes, str]:
        label = str(random.choice(list(originals)))
        return damaged(random, originals[label]), f"damaged.{label}"

    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "fuzzed")
        fuzzed = fuzzing.Fuzzed(chosen, lambda data, random: outcome(data, file), LIMIT_SECONDS, LIMIT_MEGABYTES)
        return int(fuzzing.fuzz(fuzzed, options.count, options.seed, options.folder) > 0)


if __name__ == "__main__":
    sys.exit(main())

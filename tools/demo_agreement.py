"""Compares what the page (docs/demo) and Python make of recordings, and says how fast the page is.

    python -m tools.demo_agreement DIR

Both code every recording below DIR in several ways, and both decode Python's files. Prints a Markdown table. Needs Playwright and
a Chromium. Bind it to one idle core (`taskset -c 0`), or the speeds are those of a busy machine.
"""

import argparse
import base64
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from playwright.sync_api import Page

import telucodec
from pipeline.judges.recordings import FolderError, read_folder
from telucodec.operating_point import OperatingPoint
from tools.demo_browser import served

POINTS = "tokens_4", "tokens_8", "tokens_12", "tokens_kbps_2", "perception_1_kbps_6", "snr_15", "step_600"
T = TypeVar("T")
SETUP = """async () => {
  const { Codec } = await import("./codec/codec.js");
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const text = (array) => {
    const all = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let characters = "";
    for (let start = 0; start < all.length; start += 8192)
      characters += String.fromCharCode(...all.subarray(start, start + 8192));
    return btoa(characters);
  };
  const codec = (window.codec = new Codec("models/"));
  window.encode = async (audio, point) => text((await codec.encode(new Float32Array(bytes(audio).buffer), point)).data);
  window.decode = async (data, enhance) => {
    const { audio, damage, tokens } = await codec.decode(bytes(data), { enhance });
    return { audio: text(audio), damage, tokens: tokens && tokens.map((own) => [...own]) };
  };
}"""


class Decoded(NamedTuple):
    """What the page reads from a file."""

    audio: np.ndarray  # [samples], float32
    tokens: np.ndarray | None  # [num_codebooks, frames]
    damage: str


class BrowserCodec:
    """The codec of the page in a browser that shows it."""

    def __init__(self, page: Page):
        self._page = page
        page.evaluate(SETUP)

    def encode(self, audio: np.ndarray, **point: float) -> bytes:
        """Audio [samples], float32 at 16 kHz, to the bytes of a file."""
        return base64.b64decode(self._page.evaluate("(given) => encode(...given)", [_text(audio.tobytes()), point]))

    def decode(self, data: bytes, enhance: bool = True) -> Decoded:
        """The bytes of a file to what is in it."""
        found = self._page.evaluate("(given) => decode(...given)", [_text(data), enhance])
        tokens = None if found["tokens"] is None else np.array(found["tokens"]).T
        return Decoded(np.frombuffer(base64.b64decode(found["audio"]), np.float32), tokens, found["damage"])


class Counts(NamedTuple):
    """Of one operating point; counts of several recordings add up."""

    files: int  # recordings
    same: int  # of which the page writes the file that Python writes
    tokens: int
    other_tokens: int  # of these, those that are not Python's
    error: float  # largest difference of decoded samples, full scale at 1
    audio_seconds: float
    encoding: float  # seconds that the page takes
    decoding: float
    python_encoding: float
    python_decoding: float

    def __add__(self, other: tuple) -> "Counts":
        own, theirs = self._asdict(), Counts(*other)._asdict()
        return Counts(
            **{name: max(own[name], theirs[name]) if name == "error" else own[name] + theirs[name] for name in own}
        )


def compare(page: BrowserCodec, telu: telucodec.Codec, audio: np.ndarray, point: OperatingPoint) -> Counts:
    """Code a recording [samples] with both."""
    written, encoding = _timed(lambda: page.encode(audio, **point.arguments))
    data, python_encoding = _timed(lambda: telu.encode(audio, **point.arguments))
    decoded, decoding = _timed(lambda: page.decode(data))
    expected, python_decoding = _timed(lambda: telu.decode(data))
    tokens = other = 0
    if point.tokens is not None:
        own, theirs = (telu.read_tokens(file) for file in (data, written))
        tokens, other = own.size, int((own != theirs).sum())
    error = float(np.abs(decoded.audio - expected).max())
    times = encoding, decoding, python_encoding, python_decoding
    return Counts(1, int(written == data), tokens, other, error, len(audio) / telu.sample_rate, *times)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_agreement", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with recordings")
    try:
        clips = read_folder(parser.parse_args().folder)
    except (FolderError, OSError) as error:
        sys.exit(str(error))
    telu = telucodec.load()
    with served() as (browser, address):
        shown = browser.new_page()
        shown.goto(address)
        page = BrowserCodec(shown)
        warm = next(iter(clips.values()))
        for point in map(OperatingPoint.parse, POINTS):
            compare(page, telu, warm, point)  # so that no figure holds loading
        _print({point: _total(page, telu, clips, OperatingPoint.parse(point)) for point in POINTS})


def _total(page: BrowserCodec, telu: telucodec.Codec, clips: dict[str, np.ndarray], point: OperatingPoint) -> Counts:
    first, *rest = (compare(page, telu, audio, point) for audio in clips.values())
    return list(itertools.accumulate(rest, initial=first))[-1]


def _print(counts: dict[str, Counts]) -> None:
    print("|  | files | the same | tokens | other tokens | largest difference, LSB of 16 bits |")
    print("|---|---|---|---|---|---|")
    for point, own in counts.items():
        label = OperatingPoint.parse(point).label
        print(f"| {label} | {own.files} | {own.same} | {own.tokens} | {own.other_tokens} | {own.error * 32768:.3f} |")
    print("\n|  | encoding, x real time | over Python's time | decoding, x real time | over Python's time |")
    print("|---|---|---|---|---|")
    for point, own in counts.items():
        encoding, decoding = own.audio_seconds / own.encoding, own.audio_seconds / own.decoding
        over = own.encoding / own.python_encoding, own.decoding / own.python_decoding
        label = OperatingPoint.parse(point).label
        print(f"| {label} | {encoding:.1f} | {over[0]:.1f} | {decoding:.1f} | {over[1]:.1f} |")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


if __name__ == "__main__":
    main()

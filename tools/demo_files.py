"""Whether the page (docs/demo) hears in files what Python hears, damaged ones included.

    python -m tools.demo_files DIR [--count 1000] [--damaged 100] [--seed 0]

Writes files of short stretches of the recordings below DIR, of every kind and at random operating points: tokens, waveforms,
streams. In some of them bytes of a packet are changed. Both decode all of them, leniently. Prints a Markdown table; the exit
code is 1 if the samples of a file differ by more than one LSB of 16 bits, or the page says of another than these that it is
damaged. Needs Playwright and a Chromium.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from playwright.sync_api import Error as PageError
from tqdm import tqdm

import telucodec
from pipeline.judges.recordings import FolderError, read_folder
from telucodec.errors import ContainerError, OutOfReachWarning
from telucodec.files import container
from telucodec.files.header import read_header
from tools.demo_agreement import BrowserCodec
from tools.demo_browser import served
from tools.fuzz import HOPS

LSB = 1 / 32768
SECONDS = 0.3, 2.0
Writer = Callable[[telucodec.Codec, np.ndarray, np.random.Generator], bytes]


def _with_pause(audio: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The recording in two parts, and between them up to a second of soft noise."""
    parts = np.array_split(audio, 2)
    pause = random.normal(0, 10 ** -random.uniform(3, 4), int(random.integers(4000, 16000)))
    return np.concatenate([parts[0], pause.astype(np.float32), parts[1]])


def _stream(telu: telucodec.Codec, audio: np.ndarray, **settings: Any) -> bytes:
    encoder = telu.stream_encoder(**settings)
    return encoder.push(audio) + encoder.finish()


LEFT_OUT = "stream, packets left out"
KINDS: dict[str, Writer] = {
    "tokens": lambda telu, audio, random: telu.encode(audio, tokens=int(random.integers(1, 13))),
    "tokens at a rate": lambda telu, audio, random: telu.encode(audio, tokens=0, kbps=random.uniform(1, 6)),
    "waveform": lambda telu, audio, random: telu.encode(audio, step=int(random.integers(100, 700))),
    "waveform, perception": lambda telu, audio, random: telu.encode(
        audio, step=int(random.integers(100, 500)), perception=random.uniform(0.1, 1)
    ),
    "stream": lambda telu, audio, random: _stream(telu, audio, step=int(random.integers(100, 500))),
    "stream at a rate": lambda telu, audio, random: _stream(
        telu, audio, kbps=random.uniform(8, 32), perception=1.0, independent=bool(random.integers(2))
    ),
    LEFT_OUT: lambda telu, audio, random: _stream(
        telu, _with_pause(audio, random), step=int(random.integers(100, 500)), perception=1.0, dtx=True
    ),
}


class Compared(NamedTuple):
    """One file."""

    error: float  # largest difference of samples, full scale at 1
    length: bool  # whether both have as many samples
    damage: bool  # whether the page finds damage

    def alike(self, damaged: bool, hides: bool = False) -> bool:
        """Whether both hear the same and the page tells damage; with `hides`, damage may pass for packets left out."""
        tells = self.damage == damaged or (hides and not self.damage)
        return self.length and self.error <= LSB and tells


def written(telu: telucodec.Codec, clips: list[np.ndarray], kind: str, random: np.random.Generator) -> bytes:
    """A file of a random stretch of a random recording."""
    audio = clips[int(random.integers(len(clips)))]
    count = min(int(random.uniform(*SECONDS) * telu.sample_rate), len(audio))
    start = int(random.integers(len(audio) - count + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfReachWarning)
        return KINDS[kind](telu, audio[start : start + count], random)


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """The file with one to three bytes changed in the payload of one packet; as it is if no packet has any."""
    header, start = read_header(data)
    count, left_out = header.packets(HOPS[header.mode]), header.most_left_out
    packets = container.read_packets(data, start, count, most_left_out=left_out)
    parts = [(number, payload) for number, payload in packets if payload is not None]
    hit = [place for place, (_, payload) in enumerate(parts) if payload]
    if not hit:
        return data
    chosen, place, changed = int(random.choice(hit)), start, bytearray(data)
    for number, payload in parts[:chosen]:
        place += len(container.write_packet(number, payload))
    number, payload = parts[chosen]
    first = place + len(container.write_packet(number, payload)) - len(payload)
    for byte in random.integers(len(payload), size=int(random.integers(1, 4))):
        changed[first + byte] = (changed[first + byte] + int(random.integers(1, 256))) % 256
    return bytes(changed)


def compare(page: BrowserCodec, telu: telucodec.Codec, data: bytes) -> Compared:
    """Decode a file with both. If both refuse it, because too much of it is missing, they are alike."""
    try:
        expected = telu.decode(data, lenient=True)
    except ContainerError:
        expected = None
    try:
        found = page.decode(data)
    except PageError as error:
        if "CodecError" not in str(error):
            raise
        return Compared(0.0, expected is None, True)
    if expected is None:
        return Compared(float("inf"), False, bool(found.damage))
    length = len(found.audio) == len(expected)
    error = float(np.abs(found.audio - expected).max(initial=0)) if length else float("inf")
    return Compared(error, length, bool(found.damage))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_files", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with recordings")
    parser.add_argument("--count", type=int, default=1000, help="number of files (default: %(default)s)")
    parser.add_argument("--damaged", type=int, default=100, help="how many of them are damaged (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        clips = list(read_folder(arguments.folder).values())
    except (FolderError, OSError) as error:
        sys.exit(str(error))
    telu, random, kinds = telucodec.load(), np.random.default_rng(arguments.seed), list(KINDS)
    broken = set(random.permutation(arguments.count)[: arguments.damaged].tolist())
    results: dict[str, list[tuple[bool, Compared]]] = {kind: [] for kind in kinds}
    with served() as (browser, address):
        shown = browser.new_page()
        shown.goto(address)
        page = BrowserCodec(shown)
        for number in tqdm(range(arguments.count), unit="file", disable=None):
            kind = kinds[number % len(kinds)]
            data = written(telu, clips, kind, random)
            sent = damaged(data, random) if number in broken else data
            results[kind].append((sent != data, compare(page, telu, sent)))
    sys.exit(0 if _print(results) else 1)


def _print(results: dict[str, list[tuple[bool, Compared]]]) -> bool:
    """Whether all files are alike."""
    print("|  | files | damaged | alike | largest difference, LSB of 16 bits |")
    print("|---|---|---|---|---|")
    good = True
    for kind, rows in results.items():
        alike = sum(compared.alike(changed, hides=kind == LEFT_OUT) for changed, compared in rows)
        error = max((compared.error for _, compared in rows), default=0) / LSB
        print(f"| {kind} | {len(rows)} | {sum(changed for changed, _ in rows)} | {alike} | {error:.3f} |")
        good &= alike == len(rows)
    return good


if __name__ == "__main__":
    main()

"""How long the page (docs/demo) takes from a recording to sound, how much it loads for that, and how much time live coding takes.

    python -m tools.demo_speed FILE

Opens the page RUNS times, each time in a browser without a cache, and gives it the recording at once. The time to the first sound
ends when the coded speech can be played, and holds the loading of the models. Then codes the recording RUNS times as if it were
spoken, in blocks of BLOCK seconds. Needs Playwright and a Chromium. The network is that of this machine.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from playwright.sync_api import Browser, Page

from telucodec.audio.reading import read
from telucodec.audio.samples import floats
from telucodec.errors import AudioError
from tools.demo_browser import served

RUNS = 5
RATE = 16000  # Hz
MODES = "Tokens", "Waveform"
BLOCK = 0.01  # seconds
LIVE = {"tokens, 8 codebooks": {"tokens": 8}, "waveform, at most 6 kbit/s, perception 1": {"kbps": 6, "perception": 1}}
PLAYABLE = "() => !document.getElementById('play').disabled"

CODED_LIVE = """async ([samples, point, size]) => {
  const { Codec } = await import("./codec/codec.js");
  const codec = new Codec("models/");
  const audio = Float32Array.from(samples);
  const isTokens = "tokens" in point;
  const spent = async () => {
    const encoder = await (isTokens ? codec.tokenEncoder(point.tokens) : codec.streamEncoder(point));
    const decoder = await (isTokens ? codec.tokenDecoder() : codec.streamDecoder());
    const file = isTokens && (await codec.tokens()).file(point.tokens);
    let [encoding, decoding] = [0, 0];
    for (let start = 0; start < audio.length; start += size) {
      const times = [performance.now()];
      const sent = encoder.push(audio.subarray(start, start + size));
      if (isTokens) file.push(sent);
      times.push(performance.now());
      decoder.push(sent);
      times.push(performance.now());
      encoding += (times[1] - times[0]) / 1000;
      decoding += (times[2] - times[1]) / 1000;
    }
    return [encoding, decoding];
  };
  await spent(); // until then the browser has translated the code
  return spent();
}"""


class Run(NamedTuple):
    opened: float  # seconds until the page takes a recording
    heard: float  # seconds from the recording until it can be heard
    megabytes: float  # that were loaded


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_speed", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording that browsers can read")
    file = parser.parse_args().file
    try:
        audio = floats(read(file, RATE))
    except AudioError as error:
        sys.exit(f"error: {error}")
    print(f"A recording of {len(audio) / RATE:.1f} s; medians of {RUNS} runs without a cache\n")
    print("|  | page, s | first sound, s | together, s | loaded, MB |\n|---|---|---|---|---|")
    with served() as (browser, address):
        for mode in MODES:
            runs = [cold(browser, address, file, mode) for _ in range(RUNS)]
            opened, heard, megabytes = (statistics.median(values) for values in zip(*runs, strict=True))
            both = statistics.median(run.opened + run.heard for run in runs)
            print(f"| {mode.lower()} | {opened:.2f} | {heard:.2f} | {both:.2f} | {megabytes:.1f} |", flush=True)
        print(
            "\n|  | encoding, s a second | decoding, s a second | both in a thread each, x real time |\n|---|---|---|---|"
        )
        page = browser.new_page()
        page.goto(address)
        for name, point in LIVE.items():
            encoding, decoding = map(
                statistics.median, zip(*(live(page, audio, point) for _ in range(RUNS)), strict=True)
            )
            print(f"| {name} | {encoding:.3f} | {decoding:.3f} | {1 / max(encoding, decoding):.1f} |", flush=True)


def cold(browser: Browser, address: str, file: Path, mode: str) -> Run:
    """Open the page and a recording in it, as for the first time."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(120_000)
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    start = time.perf_counter()
    page.goto(address)
    page.get_by_role("radio", name=mode, exact=True).check(force=True)
    begun = time.perf_counter()
    page.set_input_files("#file", file)
    page.wait_for_function(PLAYABLE)
    end = time.perf_counter()
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    megabytes = sum(sizes) / 1e6
    context.close()
    return Run(begun - start, end - begun, megabytes)


def live(page: Page, audio: np.ndarray, point: dict[str, float]) -> tuple[float, float]:
    """Code audio [samples] as if it were spoken; seconds for a second of it, of the encoder and of the decoder."""
    encoding, decoding = page.evaluate(CODED_LIVE, [audio.tolist(), point, round(BLOCK * RATE)])
    return encoding * RATE / len(audio), decoding * RATE / len(audio)


if __name__ == "__main__":
    main()

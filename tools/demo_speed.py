"""How long the page (docs/demo) takes from a recording to sound, when nothing of it is there yet, and how much it loads.

    python -m tools.demo_speed FILE

Opens the page RUNS times, each time in a browser without a cache, and gives it the recording at once. The time to the first sound
ends when the coded speech can be played, and holds the loading of the models. Needs Playwright and a Chromium. The network is
that of this machine.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser

from telucodec.audio.reading import read
from telucodec.errors import AudioError
from tools.demo_browser import served

RUNS = 5
MODES = "Tokens", "Waveform"
PLAYABLE = "() => !document.getElementById('play').disabled"


class Run(NamedTuple):
    opened: float  # seconds until the page takes a recording
    heard: float  # seconds from the recording until it can be heard
    megabytes: float  # that were loaded


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_speed", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording that browsers can read")
    file = parser.parse_args().file
    try:
        seconds = len(read(file, 16000)) / 16000
    except AudioError as error:
        sys.exit(f"error: {error}")
    print(f"A recording of {seconds:.1f} s; medians of {RUNS} runs without a cache\n")
    print("|  | page, s | first sound, s | together, s | loaded, MB |\n|---|---|---|---|---|")
    with served() as (browser, address):
        for mode in MODES:
            runs = [cold(browser, address, file, mode) for _ in range(RUNS)]
            opened, heard, megabytes = (statistics.median(values) for values in zip(*runs, strict=True))
            both = statistics.median(run.opened + run.heard for run in runs)
            print(f"| {mode.lower()} | {opened:.2f} | {heard:.2f} | {both:.2f} | {megabytes:.1f} |", flush=True)


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


if __name__ == "__main__":
    main()

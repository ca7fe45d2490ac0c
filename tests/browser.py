"""A Chromium for tests of pages."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest


def browser_program() -> str | None:
    """A Chromium on this machine; None: Playwright's own, which is downloaded where it is not there."""
    names = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    with playwright.sync_playwright() as driver:
        program = browser_program()
        if program is None and not os.path.exists(driver.chromium.executable_path):
            command = [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]
            with contextlib.suppress(subprocess.TimeoutExpired):  # launching says what is missing
                subprocess.run(command, capture_output=True, timeout=120)
        try:
            chromium = driver.chromium.launch(
                executable_path=program,
                args=[
                    "--autoplay-policy=no-user-gesture-required",
                    "--mute-audio",
                    "--disable-gpu",
                    "--use-fake-device-for-media-stream",
                ],
            )
        except playwright.Error as error:
            pytest.skip(
                f"no Chromium, and none could be installed; `apt-get install chromium` brings one: {error}"[:400]
            )
        yield chromium
        chromium.close()

"""The page docs/demo with the shipped models, served to this machine, and a Chromium to show it."""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from telucodec.codec import SHIPPED
from tools import demo

CHROMIUM = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"


@contextlib.contextmanager
def served() -> Iterator[tuple[Browser, str]]:
    """A browser, and the address of a copy of the page."""
    program = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as name, sync_playwright() as driver:
        root = Path(name) / "demo"
        shutil.copytree(demo.PAGE, root, ignore=shutil.ignore_patterns(demo.MODELS))
        demo.copy_models(SHIPPED, root)
        options = ["--autoplay-policy=no-user-gesture-required", "--mute-audio"]
        with demo.server(root, 0) as server, driver.chromium.launch(executable_path=program, args=options) as browser:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield browser, f"http://127.0.0.1:{server.server_port}/"
            server.shutdown()

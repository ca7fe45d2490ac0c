"""The documentation site builds without a warning, and needs no other host."""

import os
import re
import subprocess
import sys

from tests.docs.pages import ROOT

LOADED = re.compile(r"<(?:script|img|iframe)[^>]*\ssrc=\"https?:|<link[^>]*\srel=\"stylesheet\"[^>]*\shref=\"https?:")


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    pages = {page.name: page.read_text(encoding="utf-8") for page in tmp_path.glob("*.html")}
    assert {"index.html", "api.html", "log.html"} <= pages.keys()
    assert not [page for page, text in pages.items() if LOADED.search(text)]
    for documented in ("Codec.encode", "Codec.stream_encoder", "OperatingPoint.parse"):
        assert documented in pages["api.html"]

"""Every Python example and every `telucodec` command of the documentation runs, page by page, in the order of the page."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from telucodec.networks.torchaudio_import import import_torchaudio
from tests.conftest import speech
from tests.docs.pages import PAGES, ROOT, Block, blocks, name, shell_lines


def examples(page: Path) -> list[Block | str]:
    """The Python blocks and the `telucodec` lines of a page, in order."""
    found: list[Block | str] = []
    for block in blocks(page):
        if block.language == "python":
            found.append(block)
        elif block.language == "sh":
            found += [line for line in shell_lines(block) if line.startswith("telucodec ")]
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder that the examples are run in, with the recordings that they name."""
    (tmp_path / "recordings").mkdir()
    recordings = "talk.wav", "first.flac", "second.flac", "recordings/first.wav", "recordings/second.flac"
    for seed, recording in enumerate(recordings):
        soundfile.write(tmp_path / recording, speech(1.5, seed), 16000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=name)
def test_examples_run(page, folder):
    if page.name == "transformers.md":
        import_torchaudio()  # transformers imports it, and fails next to a CPU-only PyTorch
        run("python -m tools.hub_folder telucodec-hf")
    namespace: dict[str, object] = {"__name__": "example"}
    for example in examples(page):
        if isinstance(example, Block):
            code = compile(
                "\n" * (example.line - 1) + example.text, str(page), "exec"
            )  # errors name the line of the page
            exec(code, namespace)
        else:
            run(example)


def run(line: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-euc", line], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stderr}"

"""The codec as `pip install telucodec` brings it: nothing that only training and the pipeline need is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

HEAVY = (
    "torch",
    "torchaudio",
    "onnx",
    "scipy",
    "dvc",
    "prefect",
    "wandb",
    "pydantic",
    "yaml",
    "pesq",
    "pystoi",
    "pipeline",
)
BLOCK = f"""
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY} or name.startswith("telucodec.networks"):
            raise ModuleNotFoundError(f"{{name}} is not installed", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(code, folder, *arguments):
    """A Python program in a folder, in which nothing heavy can be imported."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", BLOCK + code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path, spoken):
    soundfile.write(tmp_path / "talk.wav", spoken(1.0, seed=1, rate=44100), 44100)
    return tmp_path


def test_the_blocker_blocks(tmp_path):
    for module in ("torch", "telucodec.networks.runtime", "dvc.api"):
        assert "is not installed" in run(f"import {module}", tmp_path).stderr


def test_the_interface_runs_without_pytorch(folder):
    code = """
import numpy as np, telucodec
telu = telucodec.load()
audio = (0.1 * np.sin(np.arange(16000) * 0.05)).astype(np.float32)
for point in ({"snr": 20}, {"kbps": 8, "perception": 1}, {"tokens": 4}, {"tokens": 0, "kbps": 2}):
    assert telu.decode(telu.encode(audio, **point)).shape == audio.shape
tokens = telu.tokenize(audio)
assert telu.detokenize(tokens, len(audio)).shape == audio.shape and telu.token_bits(tokens).sum() > 0
stream = telu.stream_decoder()
encoder = telu.stream_encoder(step=300)
assert len(stream.push(encoder.push(audio) + encoder.finish())) >= len(audio)
print("done")
"""
    done = run(code, folder)
    assert done.stdout == "done\n", done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["encode", "talk.wav", "--snr", "20"],
        ["encode", "talk.wav", "--tokens", "4"],
        ["tokenize", ".", "-o", "tokens"],
        ["bench", "--seconds", "1"],
    ],
)
def test_commands_run_without_pytorch(folder, words):
    code = "from telucodec.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run(code, folder, *words)
    assert done.returncode == 0, done.stderr
    if words[0] == "encode":
        for more in (["info", "talk.tlc"], ["decode", "talk.tlc", "-o", "back.wav"]):
            assert run(code, folder, *more).returncode == 0
        assert soundfile.info(folder / "back.wav").frames == 16000


def test_measuring_says_what_to_install(folder):
    code = "from telucodec.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run(code, folder, "evaluate", "talk.wav", "--snr", "20")
    assert done.returncode == 1 and "pip install 'telucodec[metrics]'" in done.stderr


def test_info_reads_a_header_and_nothing_else(folder):
    code = """
from telucodec.cli import main
main(["info", sys.argv[1]])
loaded = {"numpy", "onnxruntime", "soundfile", "constriction"} & set(sys.modules)
assert not loaded, loaded
"""
    done = run(code, folder, str(Path(__file__).parent / "data" / "tokens.tlc"))
    assert done.returncode == 0, done.stderr
    assert "codebooks      8" in done.stdout


def test_nothing_is_left_in_the_home_directory(folder, monkeypatch):
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder / "home"))
    (folder / "home").mkdir()
    done = run("from telucodec.cli import main; sys.exit(main(sys.argv[1:]))", folder, "encode", "talk.wav", "--tokens")
    assert done.returncode == 0, done.stderr
    assert not list((folder / "home").rglob("*"))

"""Bundle, bare machine, results, and training that goes on from them."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
import zipfile

import pytest

from pipeline import train
from pipeline.common import files, params
from pipeline.common.stage import StageError
from pipeline.common.tables import render
from pipeline.gpu import results
from tests.pipeline.conftest import change_params

RESULTS = {"tokens.zip", "waveform.zip", "enhancer.zip", "log.txt", "figures.json", "checks.json"}
TENTH = "0.1"  # of a minute: two seconds for checks, and the least for each training


def start(built, python, *arguments, **environment):
    """run.sh with nothing in its environment but the interpreter."""
    own = {"PATH": os.environ["PATH"], "PYTHON": str(python), "OMP_NUM_THREADS": "1", "TELUCODEC_GPU_OPTIONAL": "1"}
    command = ["bash", built / "run.sh", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=own | environment, start_new_session=True, **pipes)


def test_a_bare_machine_lacks_what_the_bundle_brings(python):
    for name in ("pydantic", "soundfile", "dvc", "prefect", "wandb"):
        assert subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 1, name
    subprocess.run([python, "-c", "import torch, numpy"], check=True)


def test_from_the_bundle_to_training_that_goes_on(built, python, tmp_path):
    away, there = tmp_path / "away", tmp_path / "results"
    shutil.copytree(built, away)

    # Killed in training: the results of the last epoch are there.
    running = start(away, python, TENTH, there)
    printed = []
    for line in running.stdout:
        printed.append(line)
        if line.startswith("tokens: epoch   1"):
            break
    deadline = time.monotonic() + 10
    while printed[-1] not in (there / "log.txt").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)  # `tee` prints a line before it writes it
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert any(line.startswith("tokens: epoch   1") for line in printed), "".join(printed)
    training = figures_of(there, "tokens")
    assert not training["finished"] and training["epochs"] >= 1
    assert "tokens: epoch   1" in (there / "log.txt").read_text()
    assert results.take_in(there, built)

    # Undisturbed, over the remains of the killed run. A machine that was checked is not checked again.
    checked = (there / "checks.json").read_text()
    assert json.loads(checked)["devices"]["result"] in ("passed", "skipped")
    running = start(away, python, TENTH, there, "checked")
    printed = running.communicate(timeout=240)[0]
    assert running.returncode == 0 and "check devices" not in printed, printed
    assert (there / "checks.json").read_text() == checked
    names = {path.name for path in there.iterdir()}
    assert names >= RESULTS and len(names) <= 8
    figures = json.loads((there / "figures.json").read_text())
    assert figures["machine"]["gpu"] is None and 0 < figures["seconds"]["install"] + figures["seconds"]["unpack"] < 60
    for model in ("tokens", "waveform", "enhancer"):
        training = figures_of(there, model)
        assert training["finished"] and training["steps"] >= 1
        with zipfile.ZipFile(there / f"{model}.zip") as packed:
            rows = list(csv.DictReader(packed.read("history.csv").decode().splitlines()))
        assert len(rows) == training["epochs"] + 1

    # Taken in, and trained on from.
    folder = results.take_in(there, built)
    assert re.fullmatch(r"build/gpu-weights/[0-9a-f]{8}", str(folder))
    assert "| GPU | None |" in render(results.PAGE)
    arguments = dict(text.split("=") for text in results.starting(folder).replace("-S ", "").split())
    assert arguments["enhancer.train.start_from"] == f"{folder}/waveform"
    settings = change_params(files.repository(), {**arguments, "train.epochs": 0, "enhancer.train.epochs": 0})
    train.main(settings, "tokens")
    snr = json.loads((files.METRICS / "tokens" / "train.json").read_text())["before_training"]["snr_4"]
    assert snr == pytest.approx(figures_of(there, "tokens")["last"]["snr_4"], abs=0.05)  # weights are stored rounded
    shutil.copytree(folder / "waveform", files.MODELS / "waveform")
    train.main(settings, "enhancer")
    mel = json.loads((files.METRICS / "enhancer" / "train.json").read_text())["before_training"]["mel"]
    assert mel == pytest.approx(figures_of(there, "enhancer")["last"]["mel"], abs=0.01)


def figures_of(there, model):
    with zipfile.ZipFile(there / f"{model}.zip") as packed:
        return json.loads(packed.read("figures.json"))


def test_without_a_gpu_it_must_be_allowed(built, python, tmp_path):
    running = start(built, python, TENTH, tmp_path / "results", TELUCODEC_GPU_OPTIONAL="0", CUDA_VISIBLE_DEVICES="")
    printed = running.communicate(timeout=60)[0]
    assert running.returncode == 1 and re.search("error: PyTorch .* sees no GPU here", printed)
    assert "sees no GPU" in (tmp_path / "results" / "log.txt").read_text()
    assert json.loads((tmp_path / "results" / "figures.json").read_text())["ids"]


def test_the_minutes_must_be_a_number(built, python, tmp_path):
    running = start(built, python, "soon", tmp_path / "results")
    assert "usage: bash run.sh MINUTES" in running.communicate()[0] and running.returncode == 2


def test_wrong_results_are_refused(built, tmp_path):
    with pytest.raises(StageError, match=r"figures\.json cannot be read .*; name the results folder"):
        results.take_in(tmp_path, built)
    ids = json.loads((built / "bundle.json").read_text())["ids"]
    figures = {"ids": ids | {"data": "of others"}, "machine": {"gpu": None}}
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    with pytest.raises(StageError, match=r"does not belong to \S+: data differ"):
        results.take_in(tmp_path, built)
    (tmp_path / "figures.json").write_text(json.dumps(figures | {"ids": ids}))
    assert results.take_in(tmp_path, built) is None
    (tmp_path / "tokens.zip").write_bytes(b"half")
    with pytest.raises(StageError, match=r"tokens\.zip is damaged"):
        results.take_in(tmp_path, built)
    assert params.load().train.start_from is None and not results.WEIGHTS.exists()

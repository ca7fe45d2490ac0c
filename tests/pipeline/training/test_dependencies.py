"""A checkpoint belongs to exactly one result: whatever the result depends on, its key depends on."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import BaseModel

from pipeline import train
from pipeline.common import files, params
from pipeline.common.params import keys as parameter_keys
from pipeline.training import dependencies, start_from
from telucodec.networks.waveform.model import WaveformCodec
from tests.codec.configurations import context_config, waveform_config
from tests.pipeline.conftest import ROOT

MODELS = "tokens", "waveform", "enhancer"
SECTIONS = {"tokens": "", "waveform": "waveform.", "enhancer": "enhancer."}
OTHER = {
    "tokens": {"model.hop": 200},
    "waveform": {"waveform.model.hop": 200},
    "enhancer": {"enhancer.model.kernel": 7},
}
DEPENDENCIES = [(model, dependency) for model in MODELS for dependency in dependencies.listed(model, "deps")]
DEPENDENCIES = [(model, place) for model, place in DEPENDENCIES if not place.startswith(dependencies.SHIPPED)]


def copy_code(folder: Path) -> Path:
    """A copy of the code in which a test may edit files."""
    for name in ("codec", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    (folder / "telucodec").symlink_to("codec")
    shutil.copy(ROOT / "dvc.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    return copy_code(tmp_path_factory.mktemp("code"))


@pytest.fixture
def shards(workspace):
    """A workspace with something in place of shards."""
    for split in ("train", "validation"):
        files.write_text(files.SHARDS / split / "index.jsonl", f"clips of {split}")
        files.write_text(files.SHARDS / split / "00000.pcm", f"samples of {split}")
    (files.MODELS / "waveform").mkdir(parents=True)
    waveform = WaveformCodec(waveform_config(context=context_config(channels=16, hidden=8)))
    waveform.save(files.MODELS / "waveform")
    return workspace


def key(code: Path, model: str = "tokens") -> str:
    settings = params.load()
    return dependencies.run_key(settings, model, start_from.weights(settings.loop(model), model), code)


@pytest.mark.parametrize("model, dependency", DEPENDENCIES, ids=[" ".join(pair) for pair in DEPENDENCIES])
def test_a_change_of_any_dependency_changes_the_key(shards, code, model, dependency):
    is_code = dependency.startswith(("codec/", "pipeline/"))
    place = (code if is_code else Path()) / dependency
    contents = sorted(place.rglob("*.py" if is_code else "*")) if place.is_dir() else [place]
    assert contents
    for path in contents:
        before, original = key(code, model), path.read_bytes()
        path.write_bytes(original + b"\n")
        assert key(code, model) != before, path
        path.write_bytes(original)
        assert key(code, model) == before


def test_other_files_leave_the_key_alone(shards, code):
    before = key(code)
    for path in ("codec/codec.py", "codec/tokens/engine.py", "pipeline/evaluate.py", "pipeline/training/waveform.py"):
        with (code / path).open("a") as file:
            file.write("\n# changed\n")
    (code / "codec" / "networks" / "tokens" / "notes.txt").write_text("no code")
    assert key(code) == before
    for path in shards.rglob("*.pcm"):
        os.utime(path, (0, 0))  # the contents count, not the time
    assert key(code) == before


@pytest.mark.parametrize("model", MODELS)
def test_every_parameter_of_the_stage_changes_the_key(shards, code, change, model):
    section, before, settings = SECTIONS[model], key(code, model), params.load()
    for override in ({f"{section}train.seed": 1}, OTHER[model]):
        change(shards, override)
        assert key(code, model) != before
    [(name, _)] = OTHER[model].items()
    change(shards, {f"{section}train.seed": 0, name: functools.reduce(getattr, name.split("."), settings)})
    assert key(code, model) == before
    change(shards, {"tracking.wandb": "offline", "evaluate.threads": 2})
    assert key(code, model) == before


def test_the_weights_to_start_from_change_the_key(shards, code, change):
    change(shards, {"train.start_from": "earlier"})
    keys = {key(code)}
    for weights in (b"one", b"two"):
        place = shards / "earlier" / "tokens"
        place.mkdir(parents=True, exist_ok=True)
        (place / "model.safetensors").write_bytes(weights)
        keys.add(key(code))
    assert len(keys) == 3


def test_a_changed_transform_starts_the_training_again(ready, change, tmp_path_factory):
    change(ready, {"train.epochs": 1, "train.steps_per_epoch": 1})
    code = copy_code(tmp_path_factory.mktemp("edited"))

    def run() -> str:
        command = [sys.executable, "-m", "pipeline.train", "tokens"]
        environment = os.environ | {"PYTHONPATH": str(code)}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=240).stdout

    assert "epoch   1" in run()
    assert "continuing after epoch 1" in run()
    with (code / "codec" / "networks" / "mdct.py").open("a") as file:
        file.write("\n# changed\n")
    again = run()
    assert "epoch   1" in again and "continuing" not in again


class Reading:
    """Parameters that record which of them are read."""

    def __init__(self, model: BaseModel, keys: set[str], prefix: str = ""):
        self._model, self._keys, self._prefix = model, keys, prefix

    def __getattr__(self, name: str):
        value = getattr(self._model, name)
        if isinstance(value, BaseModel):
            return Reading(value, self._keys, f"{self._prefix}{name}.")
        if name == "model_dump":
            self._keys |= {key for key in parameter_keys() if key.startswith(self._prefix)}
        elif name in type(self._model).model_fields:
            self._keys.add(f"{self._prefix}{name}")
        return value

    def loop(self, model: str) -> "Reading":
        return self.train if model == "tokens" else getattr(self, model).train


@pytest.mark.parametrize("model", MODELS)
def test_dvc_yaml_lists_every_parameter_that_a_training_reads(shards, monkeypatch, model):
    """Otherwise `dvc exp run -S` with that parameter would run nothing."""
    read: set[str] = set()
    monkeypatch.setattr(train, "Shards", lambda folder: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    train.prepare(Reading(params.load(), read), model)
    listed = dependencies.listed(model, "params")
    unlisted = {key for key in read if not any(key == entry or key.startswith(f"{entry}.") for entry in listed)}
    assert len(read) > 10 and not unlisted

"""A small corpus, and parameters for it."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest
import soundfile

from pipeline import discover, preprocess
from pipeline.common import params, yaml12
from pipeline.common.sections import Params
from pipeline.training import tokens, waveform
from tests.conftest import speech

ROOT = Path(__file__).parents[2]
SMALL = {
    "sample.minutes": 0.4,
    "sample.voices": 4,
    "preprocess.validation_fraction": 0.3,
    "preprocess.test_fraction": 0.3,
    "model.hop": 160,
    "model.latent_dim": 16,
    "model.compand": 1.0,
    "model.coding": "transform",  # for an SNR that training raises
    "model.channels": 24,
    "model.encoder_layers": 1,
    "model.decoder_layers": 1,
    "quantizer.num_codebooks": 4,
    "quantizer.codebook_size": 32,
    "quantizer.dropout": 0.5,
    "quantizer.shared": 0.0,
    "loss.l1_weight": 1.0,
    "loss.mse_weight": 0.5,
    "loss.perceptual_weight": 0.01,
    "loss.snr_weight": 1.0,
    "loss.shaped_snr_weight": 0.25,
    "loss.mel_weight": 0.0,
    "loss.level_weight": 0.0,
    "loss.adversarial_weight": 0.0,
    "train.start_from": None,
    "train.epochs": 2,
    "train.steps_per_epoch": 6,
    "train.batch": 4,
    "train.learning_rate": 0.001,
    "train.warmup_steps": 2,
    "train.prior_steps": 5,
    "waveform.model.channels": 16,
    "waveform.model.expansion": 1,
    "waveform.model.dilations": [1, 2],
    "waveform.model.features": 2,
    "waveform.model.hidden": 8,
    "waveform.train.start_from": None,
    "waveform.train.epochs": 1,
    "waveform.train.steps_per_epoch": 20,
    "waveform.train.batch": 2,
    "waveform.train.warmup_steps": 2,
    "waveform.train.learning_rate": 0.01,
    "enhancer.model.channels": 16,
    "enhancer.model.layers": 1,
    "enhancer.train.start_from": None,
    "enhancer.train.epochs": 1,
    "enhancer.train.steps_per_epoch": 4,
    "enhancer.train.batch": 2,
    "enhancer.train.threads": 1,
    "train.threads": 1,  # tests run side by side
    "waveform.train.threads": 1,
    "evaluate.threads": 1,
    "evaluate.num_codebooks": [1, 4],
    "evaluate.shared_kbps": [1.5],
    "evaluate.snr": [15.0],
    "evaluate.kbps": [],
    "evaluate.judges": [],
    "tracking.wandb": "disabled",
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An empty folder with a params.yaml for a tiny model, and the working directory in it."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
    change_params(tmp_path, SMALL)
    return tmp_path


def change_params(folder: Path, changes: dict) -> Params:
    """Set dotted keys in a folder's params.yaml and read it."""
    path = folder / "params.yaml"
    values = yaml12.parse(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, field = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        section[field] = value
    path.write_text(yaml12.dump(values), encoding="utf-8")
    return params.load(path)


@pytest.fixture
def change():
    return change_params


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A folder with recordings of ten speakers, three each, params.yaml for a tiny model, and shards; made once, then copied."""
    folder = tmp_path_factory.mktemp("prepared")
    for speaker in range(10):
        (folder / "recordings" / f"speaker{speaker}").mkdir(parents=True)
        for take in range(3):
            audio = speech(1.2 + 0.3 * take, seed=10 * speaker + take)
            soundfile.write(folder / "recordings" / f"speaker{speaker}" / f"{take}.wav", audio, 16000)
    shutil.copy(ROOT / "params.yaml", folder)
    with contextlib.chdir(folder):
        settings = change_params(folder, {**SMALL, "data.root": str(folder / "recordings")})
        discover.main(settings)
        preprocess.main(settings)
    return folder


@pytest.fixture
def corpus(tmp_path, prepared):
    """The recordings beside the workspace's other files; returns the folder."""
    return shutil.copytree(prepared / "recordings", tmp_path / "recordings")


@pytest.fixture
def ready(workspace, change, corpus, prepared):
    """A workspace with shards."""
    for place in prepared.iterdir():
        if place.is_dir() and place.name != "recordings":
            shutil.copytree(place, workspace / place.name)
    change(workspace, {"data.root": str(corpus)})
    return workspace


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch):
    """Stages run in processes of their own here; on two cores their threads would only get in each other's way."""
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))


@pytest.fixture(autouse=True)
def little_speech_at_the_end(monkeypatch):
    """What is measured after the last epoch takes minutes of speech to be accurate, but not to be tested."""
    monkeypatch.setattr(tokens, "FINISH_SECONDS", 48)
    monkeypatch.setattr(waveform, "FINISH_SECONDS", 20)

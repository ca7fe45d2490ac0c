"""One tiny corpus, bundle and bare machine for all tests of this folder."""

import os
import shutil
from pathlib import Path

import pytest
import soundfile

from pipeline import discover, preprocess
from pipeline.gpu import bundle, wheels
from tests.conftest import speech
from tests.pipeline.conftest import ROOT, SMALL, change_params
from tests.pipeline.gpu import bare_machine


@pytest.fixture(scope="package")
def prepared(tmp_path_factory):
    """A folder with params.yaml for a tiny model, and shards."""
    folder = tmp_path_factory.mktemp("prepared")
    for speaker in range(10):
        (folder / "recordings" / f"speaker{speaker}").mkdir(parents=True)
        for take in range(2):
            audio = speech(1.2 + 0.3 * take, seed=10 * speaker + take)
            soundfile.write(folder / "recordings" / f"speaker{speaker}" / f"{take}.wav", audio, 16000)
    shutil.copy(ROOT / "params.yaml", folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        settings = change_params(folder, {**SMALL, "data.root": str(folder / "recordings")})
        discover.main(settings)
        preprocess.main(settings)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def workspace(prepared, tmp_path, monkeypatch):
    """A copy of it as the working directory."""
    folder = tmp_path / "workspace"
    shutil.copytree(prepared, folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="package")
def wheelhouse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels") / "wheels"
    bare_machine.pack_installed(folder)
    return folder


@pytest.fixture(autouse=True)
def no_network(wheelhouse, monkeypatch):
    monkeypatch.setattr(wheels, "collect", lambda folder: shutil.copytree(wheelhouse, folder))


@pytest.fixture
def built(workspace):
    """A bundle of the workspace."""
    bundle.build({}, bundle.OUTPUT)
    return workspace / bundle.OUTPUT


@pytest.fixture(scope="package")
def python(tmp_path_factory):
    """The interpreter of a bare machine."""
    return bare_machine.make(tmp_path_factory.mktemp("bare") / "environment")

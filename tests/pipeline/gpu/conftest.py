"""One bare machine for all tests of this folder, and a bundle."""

import shutil

import pytest

from pipeline.gpu import bundle, wheels
from tests.pipeline.gpu import bare_machine


@pytest.fixture
def workspace(prepared, tmp_path, monkeypatch):
    """A copy of the prepared corpus as the working directory."""
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

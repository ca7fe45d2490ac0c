import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from dvc.repo import Repo

from pipeline.common import dvc_repo
from tests.pipeline.conftest import ROOT


@pytest.fixture
def repo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    (tmp_path / "dvc.yaml").write_text("stages:\n  one:\n    cmd: touch out\n    outs: [out]\n")
    with Repo.init() as repo:
        yield repo


def test_a_lock_that_is_soon_free_is_waited_for(repo):
    with repo.lock:
        began = time.monotonic()
        threading.Timer(2, repo.lock.unlock).start()
        assert dvc_repo.stages() == (["one"], {"one"})
        assert time.monotonic() - began > 1.5
        repo.lock.lock()  # the end of this block unlocks it


def test_a_lock_that_stays_is_named(repo, monkeypatch):
    monkeypatch.setattr(dvc_repo, "LOCK_SECONDS", 0.5)
    with repo.lock, pytest.raises(dvc_repo.DvcBusyError, match="lock"):
        dvc_repo.stages()


@pytest.fixture
def finished(repo):
    """dvc.lock after a finished run, of which a copy is kept."""
    repo.reproduce()
    dvc_repo.keep_lock()
    return Path("dvc.lock").read_text()


def test_half_a_dvc_lock_is_replaced_by_the_last_whole_one(finished):
    Path("dvc.lock").write_text(finished[: finished.index("ne:")])
    dvc_repo.repair()
    assert Path("dvc.lock").read_text() == finished


def test_a_held_lock_is_no_damage(repo, finished, monkeypatch):
    monkeypatch.setattr(dvc_repo, "LOCK_SECONDS", 0.5)
    newer = finished + "# newer than the copy\n"
    Path("dvc.lock").write_text(newer)
    with repo.lock, pytest.raises(dvc_repo.DvcBusyError, match="lock"):
        dvc_repo.repair()
    assert Path("dvc.lock").read_text() == newer


def test_a_fault_in_dvc_yaml_leaves_dvc_lock_as_it_is(finished):
    newer = finished + "# newer than the copy\n"
    Path("dvc.lock").write_text(newer)
    Path("dvc.yaml").write_text("stages: [")
    dvc_repo.repair()
    assert Path("dvc.lock").read_text() == newer


def test_an_experiment_of_other_parameters_is_not_taken_for_finished(repo, change):
    def git(*arguments):
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()

    for key in ("user.name", "user.email"):
        git("config", key, "t@example.org")
    shutil.copy(ROOT / "params.yaml", ".")
    git("add", "params.yaml")
    git("commit", "-qm", "start")
    head = git("rev-parse", "HEAD")
    change(Path(), {"loss.mse_weight": 0.25, "tracking.wandb": "disabled", "cluster.dask": 2})
    git("commit", "-qam", "as `dvc exp run` commits it")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/quarter", "HEAD")
    git("reset", "-q", "--hard", head)
    assert dvc_repo.finished("other", {}) is None
    assert dvc_repo.finished("quarter", {"loss.mse_weight": 0.25}) == f"refs/exps/{head[:2]}/{head[2:]}/quarter"
    said = "experiment quarter is there with other values of loss.mse_weight; choose another name"
    with pytest.raises(dvc_repo.DvcError, match=said):
        dvc_repo.finished("quarter", {})
    change(Path(), {"train.epochs": 3})  # not committed
    with pytest.raises(dvc_repo.DvcError, match=r"other values of train\.epochs;"):
        dvc_repo.finished("quarter", {"loss.mse_weight": 0.25})

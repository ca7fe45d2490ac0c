import subprocess
import threading
import time

import pytest
from dvc.repo import Repo

from pipeline.common import dvc_repo


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
    with repo.lock, pytest.raises(dvc_repo.DvcError, match="lock"):
        dvc_repo.stages()

import subprocess

import pytest

from pipeline.common import dvc_repo, stage


@pytest.fixture
def shallow(workspace, tmp_path):
    """A shallow clone of a repository with two commits."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-C", str(workspace)]
    for command in (["init", "-q"], ["commit", "-qm", "1", "--allow-empty"], ["commit", "-qm", "2", "--allow-empty"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{workspace}", tmp_path / "shallow"], check=True)
    return tmp_path / "shallow"


def test_an_experiment_that_dvc_would_lose_is_refused_before_it_begins(workspace, shallow, monkeypatch):
    ran = []
    monkeypatch.setenv("DVC_ROOT", str(shallow))
    stage.run(ran.append)
    monkeypatch.setenv("DVC_EXP_NAME", "mine")
    with pytest.raises(SystemExit, match=r"shallow is a shallow clone, .* `git fetch --unshallow`"):
        stage.run(ran.append)
    assert len(ran) == 1
    monkeypatch.setenv("DVC_ROOT", str(workspace))  # in the workspace itself nothing is lost
    stage.run(ran.append)
    subprocess.run(["git", "-C", shallow, "fetch", "-q", "--unshallow"], check=True)
    monkeypatch.setenv("DVC_ROOT", str(shallow))
    stage.run(ran.append)
    assert len(ran) == 3


def test_flows_refuse_a_shallow_clone(shallow, monkeypatch):
    monkeypatch.chdir(shallow)
    with pytest.raises(dvc_repo.DvcError, match="git fetch --unshallow"):
        dvc_repo.refuse_shallow()

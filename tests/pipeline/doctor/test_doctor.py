import json
import os
import socket
import subprocess
import sys

import pytest

from pipeline.doctor import __main__ as doctor
from pipeline.doctor import workspace


def git(*arguments):
    author = [f"user.{key}=a@example.org" for key in ("name", "email")]
    subprocess.run(
        ["git", *(part for one in author for part in ("-c", one)), *arguments], check=True, capture_output=True
    )


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of two commits, in which the test stands, without settings of this machine's user."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "whole" / ".dvc" / "tmp").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "whole")
    git("init", "-q")
    (tmp_path / "whole" / "params.yaml").write_text("a: 1\n")
    git("add", "params.yaml")
    git("commit", "-qm", "one")
    git("commit", "-qm", "two", "--allow-empty")
    return tmp_path


def found(check):
    return {finding.what: finding for finding in check()}


def test_a_repository_without_an_author_or_with_changes(repository):
    findings = found(workspace.git)
    assert findings["git"].state == "ok" and findings["git"].value.endswith("two")
    assert findings["git author"].state == "fault" and "git config user.name" in findings["git author"].remedy
    assert "workspace" not in findings and "history" not in findings
    (repository / "whole" / "params.yaml").write_text("a: 2\n")
    assert findings.keys() | {"workspace"} == found(workspace.git).keys()


def test_a_shallow_clone(repository, monkeypatch):
    git("clone", "-q", "--depth", "1", f"file://{repository}/whole", str(repository / "shallow"))
    monkeypatch.chdir(repository / "shallow")
    finding = found(workspace.git)["history"]
    assert (finding.state, finding.remedy) == ("fault", "git fetch --unshallow")


def test_no_repository_and_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert found(workspace.git)["git"].value == "no repository here"
    assert found(workspace.dvc)["DVC"].state == "fault"
    git("init", "-q")
    assert found(workspace.git)["git"].value == "no commit yet"


def test_who_holds_dvcs_lock_and_what_experiments_left(repository):
    assert found(workspace.dvc)["DVC lock"].value == "free"
    ended = subprocess.Popen(["true"])
    ended.wait()
    for pid, words in ((os.getpid(), f"held by process {os.getpid()}"), (ended.pid, "which has ended")):
        lock = {"/data": {"write": {"pid": pid, "cmd": "dvc repro"}}, "/code": {"read": []}}
        (repository / "whole" / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(lock))
        assert words in found(workspace.dvc)["DVC lock"].value
    (repository / "whole" / ".dvc" / "tmp" / "rwlock").write_text('{"half')
    assert found(workspace.dvc)["DVC lock"].value == "free"
    (repository / "whole" / ".dvc" / "tmp" / "exps" / "standalone" / "x").mkdir(parents=True)
    assert "dvc exp clean" in found(workspace.dvc)["experiments"].remedy


def test_a_prefect_server_that_is_gone(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert doctor.prefect().state == "note"
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{unused.getsockname()[1]}/api")
        finding = doctor.prefect()
    assert finding.state == "fault" and "unset PREFECT_API_URL" in finding.remedy


def test_a_folder_that_is_not_there(workspace, change):
    change(workspace, {"data.root": "nowhere"})
    findings = found(doctor.settings)
    assert findings["params.yaml"].state == "ok"
    assert findings["data.root"].state == "fault" and "-S data.root=DIR" in findings["data.root"].remedy
    (workspace / "params.yaml").write_text("data: 1\n")
    assert found(doctor.settings)["params.yaml"].state == "fault"


@pytest.mark.parametrize("content, words", [(b"a: \xff", "not UTF-8"), (None, "cannot be read: Is a directory")])
def test_parameters_that_cannot_be_read(workspace, content, words):
    (workspace / "params.yaml").unlink()
    (workspace / "params.yaml").mkdir() if content is None else (workspace / "params.yaml").write_bytes(content)
    assert found(doctor.settings)["params.yaml"].value.startswith(f"params.yaml: {words}")


def test_codecs_and_judges_are_listed():
    names = {finding.what for finding in doctor.others()}
    assert {"codec opus", "codec speex", "judge dnsmos"} <= names


def test_a_repository_of_another_user_or_damaged_is_not_taken_for_none(repository, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    finding = found(workspace.git)["git"]
    assert "dubious ownership" in finding.value and finding.remedy.startswith(
        "git config --global --add safe.directory"
    )
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository))
    (repository / "whole" / ".git" / "HEAD").unlink()
    finding = found(workspace.git)["git"]
    assert finding.value.startswith("not a git repository") and finding.remedy == "clone the project again"


def test_without_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository))
    assert found(workspace.git)["git"].value == "not installed"


def test_who_holds_the_lock_of_all_of_dvc(repository):
    path = repository / "whole" / ".dvc" / "tmp" / "lock"
    hold = "import sys, zc.lockfile; lock = zc.lockfile.LockFile(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert found(workspace.dvc)["DVC lock"].value == f"held by process {holder.pid}"
        holder.communicate(b"\n")
    assert found(workspace.dvc)["DVC lock"].value == "free"


def test_a_prefect_server_whose_address_is_none(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://[::1")
    finding = doctor.prefect()
    assert finding.state == "fault" and finding.value == "http://[::1: Invalid IPv6 URL"


def test_a_folder_that_cannot_be_written(workspace, monkeypatch):
    assert "folder" not in found(doctor.settings)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    assert found(doctor.settings)["folder"].state == "fault"

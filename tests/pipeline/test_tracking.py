"""Every way in which W&B can fail, against the real package; none may end the run or hold it up."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import tracking
from pipeline.params import Tracking

LIMIT = 30  # seconds that a failing tracker may cost a run: the product's promise
ROW = {f"value_{number}": 1.23456789 for number in range(60)}


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 8)


def settings(mode):
    return Tracking(wandb=mode, project="telucodec-test")


def tracked(mode, folder, rows=3, during=None):
    """A run of a few rows; returns the seconds it took beyond `during`."""
    began, outside = time.monotonic(), 0.0
    with tracking.start(settings(mode), {"seed": 0}, folder) as run:
        for step in range(rows):
            run.log(ROW, step)
            if during:
                paused = time.monotonic()
                during(step)
                outside += time.monotonic() - paused
    return time.monotonic() - began - outside


def children_of_tests():
    """Processes that a tracker of this test has left behind."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if "pipeline.tracking" in line or "wandb-core" in line]


def test_offline_run_holds_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 25)
    monkeypatch.setenv("DVC_EXP_NAME", "half-mse")
    tracked("offline", tmp_path, during=lambda step: time.sleep(1 if step == 0 else 0))
    (stored,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    content = stored.read_bytes()
    assert b"value_59" in content and b"half-mse" in content
    assert "wandb sync" in (tmp_path / "tracking.log").read_text()
    assert children_of_tests() == []


def test_off_starts_nothing(tmp_path):
    tracked("off", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_online_without_a_key_goes_on_offline(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 25)
    assert tracked("online", tmp_path) < LIMIT
    assert "going on offline" in capfd.readouterr().out
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_a_server_that_never_answers_costs_no_more_than_the_limit(tmp_path, monkeypatch):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        held = []
        threading.Thread(target=lambda: held.append(server.accept()), daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        assert tracked("online", tmp_path) < LIMIT
    assert children_of_tests() == []


def test_no_network_costs_no_more_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert tracked("online", tmp_path) < LIMIT
    assert children_of_tests() == []


@pytest.mark.parametrize("which", ["pipeline.tracking", "wandb-core"])
@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_hanging_tracker_does_not_matter(tmp_path, which, signal_sent):
    def harm(step):
        if step == 0:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                found = [int(line.split()[0]) for line in children_of_tests() if which in line]
                if found and list(tmp_path.glob("wandb/offline-run-*/run-*.wandb")):
                    break
                time.sleep(0.1)
            for process in found:
                os.kill(process, signal_sent)

    assert tracked("offline", tmp_path, rows=2000, during=harm) < LIMIT
    assert children_of_tests() == []


def test_a_tracker_that_stops_reading_is_switched_off_with_a_word(tmp_path, capsys):
    def harm(step):
        if step == 0:
            for line in children_of_tests():
                os.kill(int(line.split()[0]), signal.SIGSTOP)

    tracked("offline", tmp_path, rows=500, during=harm)
    assert "off for the rest of this run" in capsys.readouterr().out


def test_the_tracker_ends_with_a_killed_stage(tmp_path):
    program = (
        "from pathlib import Path\nfrom pipeline import tracking\nfrom pipeline.params import Tracking\nimport os, signal, time\n"
        f"with tracking.start(Tracking(wandb='offline', project='t'), {{}}, Path({str(tmp_path)!r})) as run:\n"
        "    run.log({'a': 1.0}, 0)\n    time.sleep(1)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=60)
    deadline = time.monotonic() + 40
    while children_of_tests() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert children_of_tests() == []


def test_wandb_missing(tmp_path, capfd, monkeypatch):
    (tmp_path / "wandb.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    assert tracked("offline", tmp_path) < LIMIT
    assert "not installed" in capfd.readouterr().out


def test_long_rows_go_through_the_pipe_in_parts():
    parts = list(tracking._parts({"step": 3, **{f"name_{number}": 0.123456 for number in range(1000)}}))
    assert all(len(part) <= tracking.ATOMIC for part in parts)
    rows = [json.loads(part) for part in parts]
    assert all(row.pop("step") == 3 for row in rows)
    assert sum(map(len, rows)) == 1000

"""Every way in which W&B can fail, against the real package; none may end the run or hold it up."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.sections import Tracking
from pipeline.training import tracking
from tests import processes

LIMIT = 30  # seconds that a failing tracker may cost a run: the product's promise
PATIENCE = 60  # seconds for what takes one or two on an idle machine
MARK = "TELUCODEC_TEST_FOLDER"  # in the environment of every process that a test here starts
ROW = {f"value_{number}": 1.23456789 for number in range(60)}
FULL_LENGTH_KEY = "0" * 40


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No account, no settings of this machine's user, and a mark by which a test tells its processes from others."""
    for variable in [name for name in os.environ if name.startswith(("WANDB_", "DVC_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv(MARK, str(tmp_path))
    yield
    processes.end(trackers())


@pytest.fixture
def short_deadlines(monkeypatch):
    monkeypatch.setattr(tracking, "INIT_SECONDS", 4)
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 4)


@pytest.fixture
def silent_server():
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def trackers(words=""):
    """Living processes that this test's trackers have started, themselves included, with these words in their command."""

    def ours(process):
        return process.pid != os.getpid() and process.environ().get(MARK) == os.environ[MARK]

    return processes.living(lambda process: ours(process) and processes.says(process, words))


def eventually(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not reached within {PATIENCE} s"
        time.sleep(0.1)


def offline_runs(folder):
    return list((folder / "wandb").glob("offline-run-*/run-*.wandb"))


def track(mode, folder, rows=3, harm=lambda: None):
    """A run that suffers harm after its first row; returns the seconds it took, without the preparation of the harm."""
    began, outside = time.monotonic(), 0.0
    with tracking.start(Tracking(wandb=mode, project="telucodec-test"), {"seed": 7}, folder) as run:
        for step in range(rows):
            run.log(ROW, step)
            time.sleep(0.002)  # a stage that only logs would fill the pipe
            if step == 0:
                paused = time.monotonic()
                harm()
                outside = time.monotonic() - paused
    return time.monotonic() - began - outside


def signalled(named, number, folder):
    """The harm: wait until an offline run is open, then send its processes a signal."""

    def send():
        eventually(lambda: offline_runs(folder) and trackers(named))
        for process in trackers(named):
            process.send_signal(number)

    return send


def test_offline_run_holds_the_rows_and_what_dvc_calls_the_run(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("DVC_EXP_NAME", "half-mse")
    monkeypatch.setenv("DVC_STAGE", "train")
    track("offline", tmp_path)
    (stored,) = offline_runs(tmp_path)
    content = stored.read_bytes()
    for expected in (b"value_0", b"value_59", b"1.23456789", b"half-mse", b"dvc_stage", b"seed"):
        assert expected in content
    assert f"wandb sync {stored.parent}\n" in capfd.readouterr().out
    eventually(lambda: not trackers())


def test_disabled_starts_nothing(tmp_path):
    track("disabled", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_environment_can_disable_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    track("offline", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_stages_are_two_runs_whatever_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    for name in ("tokens", "waveform"):
        (tmp_path / name).mkdir()
        track("offline", tmp_path / name)
    stored = [path.name for name in ("tokens", "waveform") for path in offline_runs(tmp_path / name)]
    assert len(set(stored)) == 2 and not any("mine" in name for name in stored)


@pytest.mark.parametrize("key", [None, "not-a-key"])
def test_online_without_a_usable_key_goes_on_offline(tmp_path, monkeypatch, capfd, key):
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    assert track("online", tmp_path) < LIMIT
    printed = capfd.readouterr().out.splitlines()
    assert len(printed) == 2 and "cannot start online" in printed[0] and "wandb sync" in printed[1]
    assert b"value_59" in offline_runs(tmp_path)[0].read_bytes()


def test_a_server_that_never_answers(tmp_path, monkeypatch, capfd, short_deadlines, silent_server):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 20)
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    monkeypatch.setenv("WANDB_API_KEY", FULL_LENGTH_KEY)
    assert track("online", tmp_path) < LIMIT
    assert "continuing offline" in capfd.readouterr().out
    assert b"value_59" in offline_runs(tmp_path)[0].read_bytes()
    eventually(lambda: not trackers())


def test_no_network(tmp_path, monkeypatch, capfd, short_deadlines):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 20)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("WANDB_API_KEY", FULL_LENGTH_KEY)
    assert track("online", tmp_path) < LIMIT
    assert "continuing offline" in capfd.readouterr().out
    assert b"value_59" in offline_runs(tmp_path)[0].read_bytes()


def test_a_run_that_ends_while_wandb_is_still_starting(tmp_path, monkeypatch, capfd, silent_server):
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 3)
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    monkeypatch.setenv("WANDB_API_KEY", FULL_LENGTH_KEY)
    assert track("online", tmp_path) < LIMIT
    assert "not finished after 3 s" in capfd.readouterr().out
    assert trackers() == []


def test_a_hung_wandb_core_costs_no_more_than_the_limit_with_the_real_deadlines(tmp_path, capfd):
    assert track("offline", tmp_path, rows=500, harm=signalled("wandb-core", signal.SIGSTOP, tmp_path)) < LIMIT
    assert "not finished after" in capfd.readouterr().out
    assert trackers() == []


def test_a_killed_wandb_core(tmp_path, capfd, short_deadlines):
    assert track("offline", tmp_path, rows=20, harm=signalled("wandb-core", signal.SIGKILL, tmp_path)) < LIMIT
    printed = capfd.readouterr().out.splitlines()
    assert len(printed) == 1 and "continuing without tracking" in printed[0]
    eventually(lambda: not trackers())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_stopped_tracker(tmp_path, capfd, short_deadlines, number):
    assert track("offline", tmp_path, rows=200, harm=signalled("pipeline.training.tracking", number, tmp_path)) < LIMIT
    assert "continuing without tracking" in capfd.readouterr().out
    eventually(lambda: not trackers())


def test_a_tracker_stopped_at_the_end_is_ended(tmp_path, short_deadlines):
    stop = signalled("pipeline.training.tracking", signal.SIGSTOP, tmp_path)
    assert track("offline", tmp_path, rows=1, harm=stop) < LIMIT
    eventually(lambda: not trackers())


@pytest.mark.parametrize("wandb_core_hangs", [False, True])
def test_the_tracker_ends_after_its_stage_was_killed(tmp_path, wandb_core_hangs):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom pipeline.training import tracking\n"
        "from pipeline.common.sections import Tracking\n"
        "tracking.FINISH_SECONDS = 4\n"
        "with tracking.start(Tracking(wandb='offline', project='test'), {}, Path(sys.argv[1])) as run:\n"
        "    run.log({'logged_before_the_kill': 1.0}, 0)\n    time.sleep(600)\n"
    )
    stage = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    eventually(lambda: offline_runs(tmp_path))
    if wandb_core_hangs:
        for process in trackers("wandb-core"):
            process.suspend()
    stage.kill()
    stage.wait()
    eventually(lambda: not trackers())
    if not wandb_core_hangs:
        assert b"logged_before_the_kill" in offline_runs(tmp_path)[0].read_bytes()


def test_wandb_missing(tmp_path, capfd, monkeypatch):
    (tmp_path / "wandb.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    assert track("online", tmp_path) < LIMIT
    assert capfd.readouterr().out == "W&B: not installed; continuing without tracking\n"


def test_a_folder_that_cannot_be_written(tmp_path, capfd):
    assert track("offline", tmp_path / "missing") < LIMIT
    assert "continuing without tracking" in capfd.readouterr().out


def test_long_rows_go_through_the_pipe_in_parts():
    row = {"step": 3, **{f"name_{number}": np.float32(0.123456) for number in range(1000)}}
    parts = list(tracking._parts(row))
    assert all(len(part) <= tracking.PIPE_BUF for part in parts)
    rows = [json.loads(part) for part in parts]
    assert all(row.pop("step") == 3 for row in rows)
    assert sum(map(len, rows)) == 1000

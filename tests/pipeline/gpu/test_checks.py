"""All checks in their small version, and how verdicts come about."""

import json
import os
import time

import pytest
import torch

from pipeline.gpu import checks
from pipeline.gpu.bench import Bench
from pipeline.gpu.checks import Check
from pipeline.training import device

MODELS = "tokens", "waveform", "enhancer"
CPU = Bench(torch.device("cpu"), MODELS)


def test_all_pass_on_a_cpu(workspace, tmp_path, capfd):
    with device.reproducible(1):
        verdicts = checks.run(tmp_path, MODELS, seconds=300)
    assert {name: row["result"] for name, row in verdicts.items()} == dict.fromkeys(checks.every(tmp_path), "passed")
    assert json.loads((tmp_path / "checks.json").read_text()).keys() == verdicts.keys()
    assert verdicts["repeat"]["numbers"]["tensors_differing"] == 0
    assert 0 < verdicts["half"]["numbers"]["gradient_error"] < 0.5
    assert verdicts["curve"]["numbers"]["rise"] < 0
    assert [row["model"] for row in verdicts["throughput"]["numbers"]["rows"]] == list(MODELS)
    assert verdicts["waiting"]["numbers"]["shares"].keys() == set(MODELS)
    assert "aten::" in (tmp_path / "profile.txt").read_text()
    assert "check devices: passed" in capfd.readouterr().out


def judged(measure, left=10.0, **bounds):
    return checks._judge(Check(measure, 5, bounds), CPU, left)


def test_a_number_beyond_its_bound_fails():
    verdict = judged(lambda bench: {"error": 0.5}, error=0.1)
    assert verdict["result"] == "failed" and verdict["reason"] == "error is 0.5, allowed 0.1"
    assert judged(lambda bench: {"error": float("nan")}, error=0.1)["result"] == "failed"
    assert judged(lambda bench: {"error": 0.1}, error=0.1)["result"] == "passed"


def test_an_error_and_a_lack_of_time_are_verdicts():
    def broken(bench):
        raise RuntimeError("no kernel image")

    assert judged(broken) == {"result": "failed", "reason": "RuntimeError: no kernel image"}
    assert judged(broken, left=0) == {"result": "skipped", "reason": "no time was left"}
    slow = checks._judge(Check(lambda bench: time.sleep(5) or {}, 0.1), Bench(torch.device("cuda"), MODELS), 10)
    assert slow["result"] == "failed" and "took longer" in slow["reason"]
    assert judged(lambda bench: time.sleep(5) or {}, left=0.1)["result"] == "skipped"


def test_a_check_that_ends_the_process_costs_only_itself(workspace, tmp_path, monkeypatch):
    """The first process dies in `devices`, as a crash in a kernel would end it; the next goes on after it."""
    verdicts = {name: {"result": "passed"} for name in checks.every(tmp_path)}
    calls = []

    def die_and_go_on(command, timeout):
        calls.append(command)
        done = {"devices": {"result": "failed", "reason": "it ended the process"}} if len(calls) == 1 else verdicts
        checks.write(tmp_path, done | checks.read(tmp_path))

    monkeypatch.setattr(checks.subprocess, "run", die_and_go_on)
    result = checks.in_own_process(tmp_path, MODELS, 1)
    assert len(calls) == 2 and result["devices"]["result"] == "failed" and result["curve"]["result"] == "passed"


def test_checks_that_cannot_start_have_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(checks.subprocess, "run", lambda command, timeout: None)
    assert {row["result"] for row in checks.in_own_process(tmp_path, MODELS, 1).values()} == {"failed"}


def test_checks_that_come_too_late_are_skipped(tmp_path):
    assert {row["result"] for row in checks.in_own_process(tmp_path, MODELS, 0).values()} == {"skipped"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_is_written_first_stays_if_the_process_dies(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "every", lambda profile: {"fatal": Check(lambda bench: os._exit(9), 5)})
    child = os.fork()
    if not child:
        checks.run(tmp_path, MODELS, 10)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert checks.read(tmp_path) == {"fatal": {"result": "failed", "reason": "it ended the process"}}

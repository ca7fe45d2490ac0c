"""Training in two processes is training in one."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from pipeline import train
from pipeline.common import files, params
from pipeline.common.stage import StageError
from tests import processes

PAIR = {"train.processes": 2, "waveform.train.processes": 2, "train.threads": 1, "waveform.train.threads": 1}


def terms():
    """What the last epoch's losses were."""
    with (files.PLOTS / "tokens" / "history.csv").open() as file:
        (*_, last) = csv.DictReader(file)
    return {name: float(value) for name, value in last.items() if name.startswith("train_")}


def trained(model):
    return json.loads((files.METRICS / model / "train.json").read_text())


SECOND_PHASE = {
    "loss.adversarial_weight": 0.5,
    "train.adversarial_after": 0.3,
    "train.epochs": 1,
    "train.steps_per_epoch": 4,
}


@pytest.mark.parametrize("second_phase", [{}, SECOND_PHASE])
def test_two_processes_give_the_tokens_of_one(ready, change, second_phase):
    """Also where clamps are at work, a fifth of the codewords is dead, levels are dropped, and a discriminator learns."""
    changes = {"train.epochs": 3, "train.steps_per_epoch": 10, "quantizer.dead_code_share": 0.5}
    train.main(change(ready, changes | second_phase), "tokens")
    alone, lost = trained("tokens"), terms()
    train.main(change(ready, PAIR), "tokens")
    together, lost_together = trained("tokens"), terms()
    assert ("train_adversarial" in lost) == bool(second_phase)
    assert lost_together == pytest.approx(lost, rel=0.01, abs=0.002)
    assert together["before_training"] == alone["before_training"]
    for name, value in alone["after_training"].items():
        assert together["after_training"][name] == pytest.approx(value, abs=0.01), name


def test_torchrun_gives_the_waveform_codec_of_one_process(ready, change):
    train.main(change(ready, {"waveform.train.steps_per_epoch": 3}), "waveform")
    alone = trained("waveform")["after_training"]
    for checkpoint in (ready / ".work").rglob("checkpoint.pt"):
        checkpoint.unlink()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, "-m", "pipeline.train", "waveform"], check=True, timeout=180, stderr=subprocess.DEVNULL)
    for name, value in trained("waveform")["after_training"].items():
        assert value == pytest.approx(alone[name], rel=0.005), name


def test_a_killed_rank_ends_the_run_with_a_word_and_the_next_goes_on(ready, change):
    change(ready, {**PAIR, "train.epochs": 400})
    command = [sys.executable, "-m", "pipeline.train", "tokens"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in running.stdout:
        if line.startswith("tokens: epoch   2"):
            break
    children = psutil.Process(running.pid).children()
    ranks = processes.living(lambda child: processes.says(child, "spawn_main"), among=children)
    assert len(ranks) == 2
    ranks[1].send_signal(signal.SIGKILL)
    errors = running.communicate(timeout=60)[1]
    assert running.returncode == 1 and re.search("error: rank 1 of 2 was ended by SIGKILL", errors)
    assert not any(rank.is_running() for rank in ranks)
    assert not (files.MODELS / "tokens").exists()
    # Killing the stage leaves no rank behind either.
    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert "continuing after epoch" in again.stdout.readline()
    ranks = psutil.Process(again.pid).children()
    os.kill(again.pid, signal.SIGKILL)
    again.communicate()
    deadline = time.monotonic() + 30
    while any(rank.is_running() for rank in ranks) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(rank.is_running() for rank in ranks)


def test_a_stage_error_in_the_ranks_is_said_once(ready, change):
    wild = {"train.learning_rate": 1e30, "train.grad_clip": 1e30, "train.warmup_steps": 0}
    with pytest.raises(StageError, match=r"not finite in epoch 1, step \d"):
        train.main(change(ready, {**PAIR, **wild}), "tokens")


def test_a_batch_that_cannot_be_shared_is_refused(ready, change):
    with pytest.raises(params.ParamsError, match=r"batch \(4\) must be a multiple of processes \(3\)"):
        change(ready, {"train.processes": 3})

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from pipeline import train
from pipeline.common import files, params
from pipeline.common.stage import StageError
from pipeline.training.validation import codebook_use
from telucodec.networks.tokens.model import TokenCodec

MODEL = files.MODELS / "tokens"
METRICS = files.METRICS / "tokens" / "train.json"
COMMAND = [sys.executable, "-m", "pipeline.train", "tokens"]
SECOND_PHASE = {"loss.adversarial_weight": 0.3, "train.adversarial_after": 0.4, "train.steps_per_epoch": 2}


def outcome():
    weights = load_file(MODEL / "model.safetensors")
    return {name: value.clone() for name, value in weights.items()}, (METRICS).read_bytes()


def same(one, other):
    return one[1] == other[1] and all(torch.equal(one[0][name], other[0][name]) for name in one[0])


def history(model="tokens"):
    with (files.PLOTS / model / "history.csv").open() as file:
        return list(csv.DictReader(file))


def forget():
    for checkpoint in (files.repository() / ".work").rglob("checkpoint.pt"):
        checkpoint.unlink()


def test_what_a_run_leaves(ready, change):
    train.main(params.load(), "tokens")
    codec = TokenCodec.load(MODEL)
    assert codec.config.quantizer.num_codebooks == 4 and codec.config.hop == 160
    metrics = json.loads((METRICS).read_text())
    assert metrics["epochs"] == 2
    assert 0 < metrics["before_training"]["snr_1"] < metrics["before_training"]["snr_4"]
    rows = history()
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    terms = "loss loss_l1 loss_mse loss_perceptual loss_vq loss_snr train_total train_grad_norm"
    assert set(f"snr_1 snr_4 snr range_ratio rms_ratio output_mean {terms}".split()) <= set(rows[-1])
    assert float(rows[-1]["train_grad_norm"]) > 0
    with (files.PLOTS / "tokens" / "statistics.csv").open() as file:
        use = list(csv.DictReader(file))[-1]
    assert 1 <= float(use["perplexity_4"]) <= 32 and 0 <= float(use["dead_1"]) < 1


def test_a_second_phase_brings_in_a_discriminator_and_keeps_it(ready, change):
    train.main(change(ready, SECOND_PHASE), "tokens")
    first, second = history()[1:]
    assert not first["train_adversarial"] and float(second["train_discriminator"]) > 0
    kept = load_file(MODEL / "discriminator.safetensors")
    assert any(name.startswith("0.layers.0") for name in kept)
    assert TokenCodec.load(MODEL).config.hop == 160


def test_two_runs_are_equal_to_the_bit(ready):
    train.main(params.load(), "tokens")
    first = outcome()
    forget()
    train.main(params.load(), "tokens")
    assert same(first, outcome())


def test_the_waveform_codec_trains_to_fewer_bits_and_equally_each_time(ready, change):
    outcomes = []
    for _ in range(2):
        forget()
        train.main(params.load(), "waveform")
        weights = load_file(files.MODELS / "waveform" / "model.safetensors")
        metrics = (files.METRICS / "waveform" / "train.json").read_text()
        outcomes.append(({name: value.clone() for name, value in weights.items()}, metrics))
    assert same(*outcomes)
    rates = json.loads(metrics)
    assert rates["after_training"]["kbps_at_25_db"] < rates["before_training"]["kbps_at_25_db"]
    assert weights["context.enter.weight"].dtype == torch.int8


def test_the_enhancer_brings_levels_closer_and_equally_each_time(ready, change):
    train.main(params.load(), "waveform")
    changes = {
        "enhancer.train.steps_per_epoch": 40,
        "enhancer.train.learning_rate": 0.01,
        "enhancer.train.warmup_steps": 0,
    }
    settings, outcomes = change(ready, changes), []
    for _ in range(2):
        forget()
        train.main(settings, "enhancer")
        outcomes.append((load_file(files.MODELS / "enhancer" / "model.safetensors"), history("enhancer")))
    assert same(*outcomes)
    before, after = outcomes[0][1]
    assert before["mel"] == before["plain_mel"] and float(after["mel"]) < float(before["mel"]) - 0.01
    assert float(after["train_discriminator"]) > 0


def test_training_helps(ready, change):
    longer = {"train.epochs": 8, "train.steps_per_epoch": 15, "train.learning_rate": 0.003}
    train.main(change(ready, {**longer, "loss.shaped_snr_weight": 0.0}), "tokens")
    losses = [float(row["loss"]) for row in history()]  # of speakers that are not trained on
    assert losses[-1] < losses[0] - 0.05


def test_the_levels_of_bands_come_closer(ready, change):
    """With the coding and the loss of the shipped model."""
    shape = {"model.coding": "vocoder", "model.hop": 320, "model.latent_dim": 64, "model.encoder_layers": 0}
    losses = {"loss.mel_weight": 1.0, "loss.snr_weight": 0.1, "loss.l1_weight": 0.0}
    recipe = shape | losses | {"loss.mse_weight": 0.0, "loss.perceptual_weight": 0.0}
    longer = {"train.epochs": 4, "train.steps_per_epoch": 60, "train.learning_rate": 0.003}
    train.main(change(ready, recipe | longer), "tokens")
    rows = history()
    assert float(rows[-1]["loss_mel"]) < float(rows[0]["loss_mel"]) - 0.005  # it begins with the levels of the codes


@pytest.mark.parametrize("settings", [{}, SECOND_PHASE])
def test_a_killed_run_goes_on_and_ends_in_the_same_weights(ready, change, settings):
    change(ready, {"train.epochs": 4, **settings})
    subprocess.run(COMMAND, check=True, timeout=120, stderr=subprocess.DEVNULL)
    undisturbed = outcome()
    forget()
    process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if line.startswith("tokens: epoch   2"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (METRICS).unlink()
    resumed = subprocess.run(COMMAND, check=True, timeout=120, capture_output=True, text=True)
    assert "continuing after epoch" in resumed.stdout and "epoch   2 " not in resumed.stdout
    assert same(undisturbed, outcome())


def test_a_finished_run_is_not_run_again_unless_asked(ready, monkeypatch, capsys):
    train.main(params.load(), "tokens")
    first = outcome()
    capsys.readouterr()
    train.main(params.load(), "tokens")
    assert "epoch   1" not in capsys.readouterr().out
    assert same(first, outcome())
    monkeypatch.setenv("TELUCODEC_FRESH", "1")
    train.main(params.load(), "tokens")
    assert "epoch   1" in capsys.readouterr().out
    assert same(first, outcome())


def test_other_parameters_do_not_continue_this_run(ready, change, capsys):
    train.main(params.load(), "tokens")
    train.main(change(ready, {"loss.mse_weight": 0.7}), "tokens")
    assert "continuing" not in capsys.readouterr().out


def test_no_epochs_give_the_starting_point(ready, change):
    train.main(change(ready, {"train.epochs": 0}), "tokens")
    metrics = json.loads((METRICS).read_text())
    assert metrics["epochs"] == 0
    assert metrics["before_training"]["snr_4"] == metrics["after_training"]["snr_4"] > 0


def test_minutes_end_a_run(ready, change):
    train.main(change(ready, {"train.minutes": 0.02, "train.epochs": 10_000}), "tokens")
    assert len(history()) < 1000


def test_one_run_is_trained_by_one_process(ready, change):
    change(ready, {"train.epochs": 2000})
    process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        process.stdout.readline()
        second = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60)
        assert second.returncode == 1 and "another process is training this run" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        process.kill()
        process.wait()


def test_a_loss_that_is_not_finite_ends_the_run_with_a_word(ready, change):
    settings = change(ready, {"train.learning_rate": 1e30, "train.grad_clip": 1e30, "train.warmup_steps": 0})
    with pytest.raises(StageError, match=r"not finite in epoch 1, step \d.*train.learning_rate"):
        train.main(settings, "tokens")
    assert not MODEL.exists()


def test_collapsed_codebooks_end_the_run_with_a_word_also_when_it_is_run_again(ready, change):
    faulty = {
        "faults.quantizer.init": "normal",
        "faults.quantizer.init_scale": 1000.0,
        "quantizer.dead_code_share": 0.0,
    }
    settings = change(ready, {**faulty, "train.min_perplexity": 0.1})
    for _ in range(2):
        with pytest.raises(StageError, match=r"codebooks collapsed in epoch 0:.*faults\.quantizer"):
            train.main(settings, "tokens")
        assert not MODEL.exists()
    train.main(change(ready, {"train.min_perplexity": 0.0}), "tokens")
    assert MODEL.exists()


@pytest.mark.parametrize(
    "faulty",
    [
        {"faults.model.output_activation": "tanh"},
        {"faults.model.init": "random"},
        {"faults.loss.mse_clamp": None, "loss.mse_weight": 1.0, "loss.perceptual_weight": 0.1},
        {"faults.loss.stft_dtype": "autocast", "train.precision": "bfloat16"},
        {"faults.quantizer.init": "normal", "faults.quantizer.init_scale": 0.01},
        {"faults.quantizer.loss_clamp": None},
        {"faults.quantizer.ema_target": "quantized"},
        {"faults.quantizer.commitment": "codebook"},
        {"faults.quantizer.detach_residual": False},
        {"quantizer.dead_code_share": 0.5},
    ],
    ids=lambda faulty: ",".join(faulty),
)
def test_every_faulty_setting_trains_and_gives_another_result(ready, change, faulty):
    change(ready, {"train.epochs": 1, "train.min_perplexity": 0.0})
    train.main(params.load(), "tokens")
    good = outcome()
    train.main(change(ready, faulty), "tokens")
    changed = outcome()
    equal = good[0].keys() == changed[0].keys() and all(
        torch.equal(good[0][name], changed[0][name]) for name in good[0]
    )
    without_effect = faulty == {"faults.quantizer.loss_clamp": None}  # the loss stays below the clamp here
    assert equal == without_effect


def test_bfloat16_keeps_codebooks_and_transform_in_float32(ready, change):
    train.main(change(ready, {"train.precision": "bfloat16"}), "tokens")
    (checkpoint,) = (ready / ".work").rglob("checkpoint.pt")
    kept = torch.load(checkpoint, weights_only=False)["model"]
    assert {value.dtype for value in kept.values() if value.is_floating_point()} == {torch.float32}
    assert json.loads((METRICS).read_text())["after_training"]["snr_4"] > 0


def test_cuda_where_there_is_none_is_refused(ready, change):
    if torch.cuda.is_available():
        train.main(change(ready, {"train.device": "cuda"}), "tokens")
        assert MODEL.exists()
        return
    with pytest.raises(StageError, match="no CUDA device"):
        train.main(change(ready, {"train.device": "cuda"}), "tokens")


def test_codebook_use():
    counts = torch.tensor([[5, 5, 5, 5], [20, 0, 0, 0]])
    use = codebook_use(counts)
    assert use["perplexity_1"] == pytest.approx(4) and use["dead_1"] == 0
    assert use["perplexity_2"] == pytest.approx(1) and use["dead_2"] == 0.75


def test_a_checkpoint_is_never_half_written(ready, change, monkeypatch):
    train.main(change(ready, {"train.epochs": 1}), "tokens")
    (checkpoint,) = (ready / ".work").rglob("checkpoint.pt")
    before = checkpoint.read_bytes()

    def disk_full(state, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", disk_full)
    run_state = {"a": 1}
    store = train.Checkpoints.__new__(train.Checkpoints)
    store._path = checkpoint
    with pytest.raises(OSError, match="No space left"):
        store.save(run_state)
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir() if path.name.startswith(".")] == []

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from pipeline import train
from pipeline.common import files, params
from pipeline.common.stage import StageError


@pytest.mark.parametrize("model", ["tokens", "waveform", "enhancer"])
def test_a_run_starts_from_the_result_of_another(ready, change, model):
    if model == "enhancer":
        train.main(params.load(), "waveform")
    train.main(params.load(), model)
    metrics = files.METRICS / model / "train.json"
    result = json.loads(metrics.read_text())["after_training"]
    shutil.copytree(files.MODELS, ready / "earlier")
    section = "train" if model == "tokens" else f"{model}.train"
    gently = {f"{section}.learning_rate": 1e-4, f"{section}.steps_per_epoch": 3}
    train.main(change(ready, {f"{section}.start_from": "earlier", **gently}), model)
    written = json.loads(metrics.read_text())
    begun, ended = written["before_training"], written["after_training"]
    # Weights of tokens are stored in half precision, and their gain was set after the last validation.
    assert begun == {name: pytest.approx(result[name], rel=0.05) for name in begun}
    # Nothing that is not stored, such as moving averages, makes the first steps lose it.
    assert {name: ended[name] for name in begun} == {name: pytest.approx(begun[name], rel=0.1) for name in begun}
    weights = (ready / "earlier" / model / "model.safetensors").read_bytes()
    assert written["start_from"] == hashlib.sha256(weights).hexdigest()[:8]


def test_another_start_is_another_run(ready, change):
    train.main(params.load(), "tokens")
    shutil.copytree(files.MODELS, ready / "earlier")
    settings = change(ready, {"train.start_from": "earlier", "train.learning_rate": 1e-4})
    train.main(settings, "tokens")
    first = (files.MODELS / "tokens" / "model.safetensors").read_bytes()
    (ready / "earlier" / "tokens" / "model.safetensors").write_bytes(first)
    train.main(settings, "tokens")
    assert (files.MODELS / "tokens" / "model.safetensors").read_bytes() != first


def test_a_start_without_a_model_is_refused_by_name(ready, change):
    with pytest.raises(
        StageError, match=r"train\.start_from: .*nowhere/tokens holds no readable model.* tokens/config\.json"
    ):
        train.main(change(ready, {"train.start_from": "nowhere"}), "tokens")
    for written in ("data/models", "export"):
        with pytest.raises(StageError, match=f"writes into {written}, .*cp -r {written} FOLDER"):
            train.main(change(ready, {"train.start_from": written}), "tokens")
    train.main(change(ready, {"train.start_from": None}), "tokens")
    shutil.copytree(files.MODELS, ready / "earlier")
    with pytest.raises(StageError, match=r"another shape than params\.yaml describes; add -S model\.latent_dim=16$"):
        train.main(change(ready, {"train.start_from": "earlier", "model.latent_dim": 12}), "tokens")
    other = {"waveform.train.start_from": None, "waveform.train.steps_per_epoch": 1}
    train.main(change(ready, other), "waveform")
    shutil.copytree(files.MODELS / "waveform", ready / "earlier" / "waveform")
    with pytest.raises(StageError, match=r"add -S 'waveform\.model\.dilations=\[1, 2\]'$"):  # quoted for a shell
        train.main(
            change(ready, {"waveform.train.start_from": "earlier", "waveform.model.dilations": [1, 4]}), "waveform"
        )


@pytest.mark.parametrize("model, prefix", [("tokens", ""), ("enhancer", "enhancer.")])
def test_the_discriminator_is_taken_along(ready, change, model, prefix):
    second = {
        f"{prefix}loss.adversarial_weight": 0.3,
        "train.adversarial_after": 0.0,
        "enhancer.loss.adversarial_after": 0.0,
        f"{prefix}train.epochs": 1,
        f"{prefix}train.steps_per_epoch": 1,
    }
    settings = change(ready, second)
    if model == "enhancer":
        train.main(settings, "waveform")
    train.main(settings, model)
    shutil.copytree(files.MODELS, ready / "earlier")
    kept = load_file(ready / "earlier" / model / "discriminator.safetensors")
    train.main(change(ready, {f"{prefix}train.start_from": "earlier", f"{prefix}train.epochs": 0}), model)
    written = load_file(files.MODELS / model / "discriminator.safetensors")
    assert kept and all(torch.equal(written[name], kept[name]) for name in kept)
    (ready / "earlier" / model / "discriminator.safetensors").write_bytes(b"no weights")
    with pytest.raises(StageError, match=r"beside the model in .* does not fit this version"):
        train.main(params.load(), model)

"""All models train on a device that is not the CPU."""

import pytest
import torch

from pipeline import train
from pipeline.common import files
from pipeline.gpu.bench import FewClips
from pipeline.training import device, tokens, waveform
from tests.elsewhere import elsewhere

QUICK = {"epochs": 1, "steps_per_epoch": 2, "batch": 2, "crop_seconds": 0.4, "warmup_steps": 0}
CHANGES = {
    "tokens": {
        "model.coding": "vocoder",
        "model.hop": 320,
        "model.encoder_layers": 0,
        "loss.adversarial_weight": 1.0,
        "loss.mel_weight": 1.0,
        "train.adversarial_after": 0.0,
        "quantizer.shared": 0.5,
        "quantizer.num_codebooks": 6,
    },
    "waveform": {},
    "enhancer": {"enhancer.loss.adversarial_after": 0.0},
}
PREFIX = {"tokens": "", "waveform": "waveform.", "enhancer": "enhancer."}


@pytest.fixture
def run(ready, change, monkeypatch):
    """Trains a model, and returns its history and what was saved."""

    def run(model, place):
        quick = {f"{PREFIX[model]}train.{name}": value for name, value in QUICK.items()}
        params = change(ready, {**CHANGES[model], **quick})
        monkeypatch.setattr(device, "choose", lambda name: place)
        for task in (tokens, waveform):
            monkeypatch.setattr(task, "FINISH_SECONDS", 10)
        with device.reproducible(1):
            running = train.prepare(params, model)
            running.validation = FewClips(files.SHARDS / "validation")
            running.train(None, lambda figures: None)
        folder = files.MODELS / model
        folder.mkdir(parents=True, exist_ok=True)
        running.task.save(folder)
        return running.history, (folder / "model.safetensors").read_bytes()

    return run


@pytest.mark.filterwarnings("ignore:.*no-op:UserWarning")  # PyTorch does not expect values on this device
@pytest.mark.parametrize("model", CHANGES)
def test_a_model_trains_elsewhere_as_on_the_cpu(run, model):
    if model == "enhancer":
        run("waveform", torch.device("cpu"))
    expected = run(model, torch.device("cpu"))
    with elsewhere() as place:
        history, weights = run(model, place)
    assert history == expected[0] and weights == expected[1]


def test_a_tensor_from_the_cpu_is_refused_there():
    with elsewhere() as place:
        there = torch.zeros(3, device=place)
        assert (there + 1).sum().item() == 3 and (there + torch.tensor(1.0)).cpu().tolist() == [1, 1, 1]
        assert there[[0, 2]].shape == (2,)
        with pytest.raises(RuntimeError, match="on one device"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="on one device"):
            torch.ones(3)[there.long()]

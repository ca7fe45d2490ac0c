"""Fixtures shared by all tests."""

import os
import tempfile

# Tests run side by side: more threads than processors make each of them many times slower. Before PyTorch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests.browser import browser  # noqa: F401 (a fixture)

# transformers puts copies of a model's code into the home folder, unless it is told otherwise before its import.
_modules = tempfile.TemporaryDirectory(prefix="telucodec-modules-")
os.environ["HF_MODULES_CACHE"] = _modules.name

# A busy machine is no failure, nor is one that stands still while an example is drawn.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def speech(seconds: float, seed: int = 0, rate: int = 16000) -> np.ndarray:
    """Speech-like audio [samples], float32: voiced syllables of a gliding pitch with formants, pauses between them."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 110 + 60 * random.random() + 20 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    formants = 500 + 300 * np.sin(2 * np.pi * 1.3 * time + seed), 1500 + 500 * np.sin(2 * np.pi * 0.9 * time)
    voice = np.zeros_like(time)
    for harmonic in range(1, 25):
        frequency = harmonic * pitch
        gain = sum(np.exp(-(((frequency - formant) / 250) ** 2)) for formant in formants)
        voice += (gain + 0.05 / harmonic) * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3 * time + seed), 0, None) ** 0.5
    audio = voice * syllables + 0.003 * random.standard_normal(len(time))
    return (0.5 * audio / np.abs(audio).max()).astype(np.float32)


@pytest.fixture(scope="session")
def spoken():
    return speech


LONGEST = "test_repro.py", "test_flows.py", "test_train.py", "test_evaluate.py", "test_distributed.py"


def pytest_collection_modifyitems(items):
    """Of the pipeline's tests the longest files first, so that two workers end at about the same time."""
    items.sort(key=lambda item: item.path.parent.name == "pipeline" and item.path.name not in LONGEST)

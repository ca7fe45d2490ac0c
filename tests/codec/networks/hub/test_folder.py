"""The folder stands by itself: transformers loads it where this package is not installed."""

import os
import subprocess
import sys

import numpy as np

ALONE = """
import sys
sys.modules |= dict.fromkeys(("telucodec", "pipeline", "constriction", "soxr", "torchaudio"))  # cannot be imported
from transformers import AutoConfig, AutoModel
import numpy, torch
folder, audio, codes = sys.argv[1:]
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
assert (config.sampling_rate, config.frame_rate, config.num_quantizers, config.num_codebooks) == (16000, 50, 12, 12)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
numpy.save(codes, model.encode(torch.from_numpy(numpy.load(audio))[None]).audio_codes[0].numpy())
"""


def test_transformers_loads_it_without_the_package(shipped, spoken, tmp_path):
    audio = spoken(1, 3)
    np.save(tmp_path / "audio.npy", audio)
    (tmp_path / "home").mkdir()
    hidden = "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HOME": str(tmp_path / "home")}
    arguments = shipped.folder, str(tmp_path / "audio.npy"), str(tmp_path / "codes.npy")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "codes.npy"), shipped.codec.tokenize(audio))
    assert not list((tmp_path / "home").rglob("*onnxruntime*"))  # no telemetry

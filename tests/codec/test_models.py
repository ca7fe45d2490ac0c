import copy
import json
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

import telucodec
from telucodec.errors import ModelError
from telucodec.models import ModelFolder
from telucodec.networks.runtime import complete


@pytest.fixture
def folder(models, tmp_path):
    """A copy of both models, to damage."""
    return shutil.copytree(models, tmp_path / "models")


@pytest.fixture(scope="module")
def audio(spoken):
    return spoken(0.5, seed=2)


@pytest.mark.parametrize("name", ["model.safetensors", "graphs/decoder.onnx"])
def test_a_changed_byte_is_reported_with_the_file(folder, telu, audio, name):
    data = bytearray((folder / "tokens" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "tokens" / name).write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name.split('/')[-1]} is damaged"):
        telucodec.load(folder).decode(telu.encode(audio, tokens=2))


@pytest.mark.parametrize("name", ["model.safetensors", "graphs/decoder.onnx", "runtime.json"])
def test_a_missing_file_is_reported(folder, telu, audio, name):
    (folder / "tokens" / name).unlink()
    with pytest.raises(ModelError, match=name.split("/")[-1]):
        telucodec.load(folder).decode(telu.encode(audio, tokens=2))


@pytest.mark.parametrize("text", ["", "{}", "[]", "\xff", '{"format": 2, "kind": "tokens", "shape": {}}'])
def test_a_damaged_description_is_reported(folder, text):
    (folder / "tokens/runtime.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"runtime\.json"):
        telucodec.load(folder).tokenize(np.zeros(10, np.float32))


def test_another_format_or_kind_is_reported(folder):
    for key, value in (("format", 1), ("kind", "waveform")):
        complete(folder / "tokens", "tokens")
        path = folder / "tokens/runtime.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        with pytest.raises(ModelError, match="export the model again"):
            ModelFolder(folder / "tokens", "tokens")


@pytest.mark.parametrize("damaged, other", [("waveform", {"tokens": 2}), ("tokens", {"step": 300})])
def test_a_damaged_model_does_not_keep_the_other_from_working(folder, audio, damaged, other):
    for path in (folder / damaged).rglob("*.*"):
        path.write_bytes(b"damaged")
    telu = telucodec.load(folder)
    assert telu.sample_rate == 16000
    assert telu.decode(telu.encode(audio, **other)).shape == audio.shape


def test_what_completes_a_model_depends_on_its_weights_alone(folder):
    before = {path: path.read_bytes() for path in (folder / "waveform").rglob("*.*")}
    complete(folder / "waveform", "waveform")
    assert {path: path.read_bytes() for path in (folder / "waveform").rglob("*.*")} == before


def test_a_codec_can_be_copied_and_pickled(telu, audio):
    expected = telu.encode(audio, step=300)
    for other in (copy.copy(telu), copy.deepcopy(telu), pickle.loads(pickle.dumps(telu))):
        assert other.encode(audio, step=300) == expected


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_codec_works_in_other_processes(telu, audio, method):
    with ProcessPoolExecutor(1, get_context(method)) as pool:
        assert pool.submit(telu.tokenize, audio).result(timeout=60).tolist() == telu.tokenize(audio).tolist()

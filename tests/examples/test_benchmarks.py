"""The forms in which benchmarks take a codec. Their base classes are stood in for by the parts that the adapters rely on."""

import importlib
import sys
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest
import soundfile
import soxr
import torch

from examples import versa_lists
from telucodec import CodecError, OperatingPoint, load
from telucodec.audio.metrics import measure
from telucodec.codec import SHIPPED
from telucodec.networks.hub import folder as hub_folder
from telucodec.networks.torchaudio_import import import_torchaudio


@dataclass
class ExtractedUnit:
    unit: torch.Tensor
    stuff_for_synth: object


class BaseCodec:
    def __init__(self):
        self.sampling_rate = self.setting = None
        self.config()


class BaseTokenizer:
    pass


def stand_in(monkeypatch, name, **contents):
    for part in (name.rpartition(".")[0], name):
        monkeypatch.setitem(sys.modules, part, ModuleType(part))
    vars(sys.modules[name]).update(contents)


@pytest.fixture(scope="module")
def telu():
    return load(kinds=["tokens"])


def test_versa_finds_originals_and_decoded_recordings_under_the_same_keys(telu, spoken, tmp_path):
    (tmp_path / "recordings" / "a b").mkdir(parents=True)
    for number, name in enumerate(("first.wav", "a b/second.wav")):
        soundfile.write(tmp_path / "recordings" / name, spoken(2, number), 16000)
    kbps = versa_lists.write(tmp_path / "recordings", tmp_path / "out", OperatingPoint.parse("tokens_8"))
    assert 1 < kbps < 5
    lists = [
        dict(line.split(maxsplit=1) for line in (tmp_path / "out" / f"{name}.scp").read_text().splitlines())
        for name in ("gt", "pred")
    ]
    assert list(lists[0]) == list(lists[1]) == ["000000", "000001"]
    for key, recording in (("000000", "a b/second.wav"), ("000001", "first.wav")):
        original, decoded = (soundfile.read(each[key], dtype="int16")[0] for each in lists)
        assert np.array_equal(original, soundfile.read(tmp_path / "recordings" / recording, dtype="int16")[0])
        assert measure(original / np.float32(32768), decoded / np.float32(32768))["stoi"] > 0.7


def test_versa_is_told_of_an_empty_folder(tmp_path):
    with pytest.raises(CodecError, match="no recordings"):
        versa_lists.write(tmp_path, tmp_path / "out", OperatingPoint.parse("tokens_8"))


@pytest.fixture
def superb(monkeypatch):
    stand_in(monkeypatch, "SoundCodec.base_codec.general", BaseCodec=BaseCodec, ExtractedUnit=ExtractedUnit)
    yield importlib.import_module("examples.codec_superb").Codec()
    sys.modules.pop("examples.codec_superb")


@pytest.mark.parametrize("rate", [16000, 48000])
def test_codec_superb_gets_units_and_speech_of_the_same_length(superb, telu, spoken, rate):
    audio = spoken(1, 0, rate).astype(np.float64)
    found = superb.extract_unit({"audio": {"array": audio, "sampling_rate": rate}})
    expected = telu.tokenize(soxr.resample(audio.astype(np.float32), rate, 16000), 8)
    assert (superb.setting, superb.sampling_rate) == ("telucodec_8", 16000)
    assert np.array_equal(found.unit.numpy(), expected)
    assert np.array_equal(superb.decode_unit(found.stuff_for_synth), telu.detokenize(expected, 16000))


@pytest.fixture
def dasb(monkeypatch, tmp_path):
    import_torchaudio()  # transformers imports it, and fails next to a CPU-only PyTorch
    stand_in(monkeypatch, "utils.tokenizer_interface", BaseTokenizer=BaseTokenizer)
    hub_folder.write(SHIPPED / "tokens", tmp_path)
    yield importlib.import_module("examples.dasb").TeluCodecTokenizer(str(tmp_path))
    sys.modules.pop("examples.dasb")


def test_dasb_gets_tokens_signals_and_embeddings(dasb, telu, spoken):
    long, short = spoken(1, 0), spoken(0.5, 1)
    rest = np.full(8000, 0.3, np.float32)  # what lies after the end of an item is not heard
    signal = torch.from_numpy(np.stack([long, np.concatenate([short, rest])]))
    tokens = dasb.sig_to_tokens(signal, torch.tensor([1.0, 0.5]), 8)
    assert tokens.shape == (2, 51, 8)
    assert np.array_equal(tokens[0].T.numpy(), telu.tokenize(long, 8))
    assert np.array_equal(tokens[1, :26].T.numpy(), telu.tokenize(short, 8))
    assert tokens.min() >= 0  # embeddings know no other
    assert torch.equal(dasb.sig_to_tokens(signal, num_codebooks=[0, 5]), dasb.sig_to_tokens(signal)[..., [0, 5]])
    audio = dasb.tokens_to_sig(tokens)
    assert audio.shape == (2, 16000)
    assert np.abs(audio[0].numpy() - telu.detokenize(tokens[0].T.numpy())).max() < 1e-5
    table = dasb.get_pretrained_embeddings(vocab_size=1024, num_codebooks=8)
    assert table.shape == (8 * 1024, 116)
    rows = table[tokens + 1024 * torch.arange(8)]  # [batch, frames, codebooks, dim]
    assert torch.allclose(rows.sum(2)[..., 52:].transpose(1, 2), dasb.model.latents(tokens.transpose(1, 2)), atol=1e-5)

import os
import sys

import numpy as np
import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"

from huggingface_hub import ModelCard

import telucodec
from tools import hub_folder


def run(monkeypatch, folder):
    monkeypatch.setattr(sys, "argv", ["hub_folder", str(folder)])
    hub_folder.main()


@pytest.fixture
def written(tmp_path, monkeypatch):
    run(monkeypatch, tmp_path / "below" / "hf")
    return tmp_path / "below" / "hf"


def test_transformers_loads_the_tokens_that_come_with_the_package(written, spoken):
    from transformers import AutoModel

    audio = spoken(0.5)
    model = AutoModel.from_pretrained(written, trust_remote_code=True)
    codes = model.encode(torch.from_numpy(audio)[None], num_quantizers=4).audio_codes[0].numpy()
    assert np.array_equal(codes, telucodec.load(kinds=["tokens"]).tokenize(audio, 4))


def test_its_card_is_theirs_with_what_the_hub_reads(written):
    card = ModelCard.load(written / "README.md")
    own, theirs = card.data.to_dict(), ModelCard.load(hub_folder.TOKENS / "README.md").data.to_dict()
    assert own.items() >= theirs.items() and theirs["license"] and theirs["datasets"] and theirs["language"]
    assert own["library_name"] == "transformers" and own["metrics"] and own["pipeline_tag"]
    assert "AutoModel.from_pretrained" in card.text


def test_a_folder_that_exists_is_kept(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit, match=r"exists already; name another folder"):
        run(monkeypatch, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

"""What a bundle holds, and what is refused before it goes anywhere."""

import shutil
import sys

import numpy as np
import pytest
import soundfile

from pipeline.common import files, params
from pipeline.common.stage import StageError
from pipeline.gpu import bundle, identity, lanes, packed, run
from pipeline.training.tokens import token_config
from telucodec.networks.enhancer.model import Enhancer, EnhancerConfig
from telucodec.networks.tokens.model import TokenCodec
from tests.pipeline.conftest import ROOT


def test_it_holds_code_shards_parameters_and_wheels(built):
    names = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
    wanted = {"run.sh", "README.md", "bundle.json", "params.yaml", "code/telucodec/errors.py", "code/pipeline/train.py"}
    assert wanted <= names
    assert not any("weights/" in name or name.endswith((".pcm", ".safetensors")) for name in names)
    assert any(name.startswith("wheels/pydantic-") for name in names)
    assert {name for name in names if name.startswith("shards/")} == {
        f"shards/{split}/{file}" for split in packed.SPLITS for file in ("00000.flac", "index.jsonl", "sha256.json")
    }
    assert identity.read(built) == identity.identify(built)


def test_shards_are_the_same_to_the_bit_after_unpacking(built, tmp_path):
    for split in packed.SPLITS:
        packed.unpack(built / "shards" / split, tmp_path / split)
        for path in (files.SHARDS / split).iterdir():
            assert (tmp_path / split / path.name).read_bytes() == path.read_bytes()


def test_lossy_shards_have_the_same_lengths_and_sound_alike(workspace, tmp_path):
    sizes = bundle.build({}, bundle.OUTPUT)
    lossy = bundle.build({}, bundle.OUTPUT, opus=True)
    assert lossy["shards/train"] < 0.7 * sizes["shards/train"]
    packed.unpack(bundle.OUTPUT / "shards" / "train", tmp_path)
    [original], [shard] = files.SHARDS.glob("train/*.pcm"), tmp_path.glob("*.pcm")
    before, after = (np.fromfile(path, "<i2").astype(float) for path in (original, shard))
    assert np.square(before - after).sum() < 0.05 * np.square(before).sum()


def test_a_damaged_shard_is_noticed(built, tmp_path):
    path = built / "shards" / "train" / "00000.flac"
    samples, rate = soundfile.read(path, dtype="int16")
    soundfile.write(path, np.roll(samples, 1), rate, "PCM_16")
    with pytest.raises(StageError, match=r"00000\.flac is damaged"):
        packed.unpack(path.parent, tmp_path / "train")
    path.write_bytes(b"no FLAC")
    with pytest.raises(StageError, match=r"00000\.flac cannot be read"):
        packed.unpack(path.parent, tmp_path / "train")


def test_parameters_can_be_changed_and_decide_the_id(built, capsys, monkeypatch):
    before = identity.read(built)
    monkeypatch.setattr(sys, "argv", ["bundle", "-S", "train.batch=2", "-S", "train.gain_db=[-3.0, 0.0]"])
    bundle.main()
    assert "code/" not in (printed := capsys.readouterr().out) and "wheels" in printed
    loop = params.load(built / "params.yaml").train
    assert (loop.batch, loop.gain_db) == (2, [-3.0, 0.0])
    assert identity.differing(before, identity.read(built)) == ["params"]


def test_weights_to_start_from_come_along(workspace):
    folder = workspace / "earlier" / "tokens"
    folder.mkdir(parents=True)
    TokenCodec(token_config(params.load())).save(folder)
    enhancer = workspace / "earlier" / "waveform" / "enhancer"
    enhancer.mkdir(parents=True)
    Enhancer(EnhancerConfig(hop=240, **params.load().enhancer.model.model_dump())).save(enhancer)
    earlier = {"train.start_from": "earlier", "enhancer.train.start_from": "earlier/waveform"}
    bundle.build(earlier, bundle.OUTPUT)
    packed_weights = {path.relative_to(bundle.OUTPUT).as_posix() for path in bundle.OUTPUT.glob("start_from/**/*.*")}
    assert packed_weights == {
        f"start_from/{model}/{name}"
        for model in ("tokens", "waveform/enhancer")
        for name in ("config.json", "model.safetensors")
    }
    there = params.load(bundle.OUTPUT / "params.yaml")
    assert (there.train.start_from, there.enhancer.train.start_from) == ("start_from", "start_from/waveform")
    with pytest.raises(StageError, match=r"train\.start_from lacks \S+/nowhere/tokens/model\.safetensors, "):
        bundle.build({"train.start_from": "nowhere"}, bundle.OUTPUT)
    with pytest.raises(StageError, match=r"enhancer\.train\.start_from lacks .*; name the folder that holds enhancer/"):
        bundle.build({"enhancer.train.start_from": "nowhere"}, bundle.OUTPUT, ["waveform", "enhancer"])


def test_an_enhancer_comes_with_the_codec_that_it_enhances(workspace):
    with pytest.raises(StageError, match=r"needs data/models/waveform; .* or train it too: --model waveform"):
        bundle.build({}, bundle.OUTPUT, ["enhancer"])
    files.write_text(files.MODELS / "waveform" / "config.json", "{}")
    bundle.build({}, bundle.OUTPUT, ["enhancer"])
    assert identity.models(bundle.OUTPUT) == ["enhancer"] and (bundle.OUTPUT / "codec" / "config.json").exists()
    bundle.build({}, bundle.OUTPUT)
    assert not (bundle.OUTPUT / "codec").exists()


@pytest.mark.parametrize(
    "models, expected",
    [
        (["enhancer", "tokens", "waveform"], [[("tokens", 1)], [("waveform", 0.35), ("enhancer", 0.65)]]),
        (["enhancer"], [[("enhancer", 1)]]),
    ],
)
def test_lanes_share_the_minutes(models, expected):
    assert lanes.chosen(models) == expected


def test_one_that_is_too_large_is_refused_with_its_largest_parts(workspace, monkeypatch):
    monkeypatch.setattr(bundle, "LARGEST_BUNDLE", 2_000_000)
    with pytest.raises(StageError, match=r"would have \d+\.\d MB, more than 2 \(wheels \d+\.\d MB, code [01]\.\d MB, "):
        bundle.build({}, bundle.OUTPUT)
    assert not list(bundle.OUTPUT.parent.iterdir())


def test_weights_that_could_not_come_back_are_refused(workspace):
    large = {"model.channels": 768, "model.encoder_layers": 8, "model.decoder_layers": 12}
    with pytest.raises(StageError, match=r"would have \d+ MB, but a file that comes back may have 17 MB"):
        bundle.build(large, bundle.OUTPUT)


def test_the_default_model_can_be_packed(workspace):
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    sizes = bundle.build({"train.start_from": str(ROOT / "codec" / "weights")}, bundle.OUTPUT, ["tokens"])
    assert 5e6 < sizes["start_from"] < 16e6


def test_without_shards_it_says_what_to_run(workspace):
    shutil.rmtree(files.SHARDS)
    with pytest.raises(StageError, match="dvc repro preprocess"):
        bundle.build({}, bundle.OUTPUT)


def test_a_damaged_bundle_is_noticed_before_training(built, tmp_path, monkeypatch):
    (built / "params.yaml").write_text("train: {}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError, match=r"the bundle is damaged \(params\)"):
        run.unpack(built)


def test_the_size_of_weights_is_that_of_the_saved_file(workspace, tmp_path, monkeypatch):
    TokenCodec(token_config(params.load())).save(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    monkeypatch.setattr(bundle, "LARGEST_RESULT", size - 20_000)
    with pytest.raises(StageError, match="the trained weights"):
        bundle.build({}, bundle.OUTPUT)

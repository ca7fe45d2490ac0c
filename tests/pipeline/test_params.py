import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import params
from pipeline.params import ParamsError

ROOT = Path(__file__).parents[2]
DEFAULTS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def load_with(tmp_path, key, value):
    changed = yaml.safe_load(yaml.safe_dump(DEFAULTS))
    section, field = key.split(".")
    changed[section][field] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    return params.load(path)


def test_the_repositorys_own_parameters_are_allowed():
    assert params.load(ROOT / "params.yaml").model.hop == 320


@pytest.mark.parametrize(
    "key, fixed, faulty",
    [
        ("preprocess.normalize", "clip", "peak"),
        ("preprocess.normalize", "clip", "none"),
        ("model.output_activation", "none", "tanh"),
        ("loss.mse_weight", 0.5, 1.0),
        ("loss.mse_clamp", 1.0, None),
        ("loss.perceptual_weight", 0.01, 0.1),
        ("loss.stft_dtype", "float32", "autocast"),
        ("quantizer.init", "kmeans", "normal"),
        ("quantizer.init_scale", 0.01, 1.0),
        ("quantizer.loss_clamp", 10.0, None),
        ("quantizer.ema_target", "residual", "quantized"),
        ("quantizer.commitment", "encoder", "codebook"),
    ],
)
def test_every_fix_of_the_users_notes_is_a_parameter_with_its_faulty_value(tmp_path, key, fixed, faulty):
    section, field = key.split(".")
    for value in (fixed, faulty):
        assert getattr(getattr(load_with(tmp_path, key, value), section), field) == value


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("loss.mse_wieght", 0.5, ["loss.mse_wieght", "unknown key", "mse_weight"]),
        ("loss.mse_weight", -1.0, ["loss.mse_weight", "greater than or equal to 0", "-1.0"]),
        ("loss.mse_weight", "lots", ["loss.mse_weight", "number", "'lots'"]),
        ("model.output_activation", "relu", ["model.output_activation", "'none' or 'tanh'", "'relu'"]),
        ("model.latent", 400, ["model", "latent (400) must not exceed hop (320)"]),
        ("quantizer.levels", 2.5, ["quantizer.levels", "integer", "2.5"]),
        ("model.noise_from", 8000.0, ["model.noise_from", "8000 Hz", "half the sample rate"]),
        ("quantizer.levels", 4, ["evaluate.levels", "8 codebooks", "quantizer.levels has 4"]),
        ("data.speaker_pattern", "([a-z", ["data.speaker_pattern", "not a regular expression"]),
        ("data.speaker_pattern", "[a-z]+", ["data.speaker_pattern", "group"]),
        ("preprocess.validation_fraction", 0.95, ["preprocess", "below 1"]),
        ("train.gain_db", [4.0, -10.0], ["train", "[low, high]"]),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(tmp_path, key, value, said):
    with pytest.raises(ParamsError) as refused:
        load_with(tmp_path, key, value)
    for words in said:
        assert words in str(refused.value)


@given(
    key=st.sampled_from(
        [f"{section}.{field}" for section in DEFAULTS if section != "presets" for field in DEFAULTS[section]]
    )
)
def test_a_missing_key_is_named(tmp_path_factory, key):
    changed = yaml.safe_load(yaml.safe_dump(DEFAULTS))
    section, field = key.split(".")
    del changed[section][field]
    path = tmp_path_factory.mktemp("missing") / "params.yaml"
    path.write_text(yaml.safe_dump(changed), encoding="utf-8")
    with pytest.raises(ParamsError, match=f"{section}.{field}: missing"):
        params.load(path)


@pytest.mark.parametrize(
    "text, said", [("", "valid dictionary"), ("a: [", "not valid YAML"), ("3", "valid dictionary")]
)
def test_a_broken_file_is_refused(tmp_path, text, said):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=said):
        params.load(path)


def test_a_small_number_is_one_as_dvc_writes_it(tmp_path):
    """`-S train.learning_rate=0.00001` leaves 1e-05 in params.yaml, a string by YAML 1.1."""
    written = Path("params.yaml").read_text().replace("learning_rate: 0.001\n", "learning_rate: 1e-05\n", 1)
    (tmp_path / "params.yaml").write_text(written)
    assert params.load(tmp_path / "params.yaml").train.learning_rate == 1e-5


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_a_preset_with_a_wrong_value_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"preset big.*\n.*model.channels"):
        load_with(tmp_path, "presets.big", {"model.channels": 0})


def test_a_preset_with_an_unknown_key_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="width is no parameter"):
        load_with(tmp_path, "presets.big", {"model.width": 3})


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipeline.params", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_the_h200_preset_prints_as_overrides():
    words = command("h200").stdout.split()
    assert words[::2] == ["-S"] * (len(words) // 2)
    assert f"train.batch={DEFAULTS['presets']['h200']['train.batch']}" in words


def test_an_unknown_preset_is_refused():
    refused = command("h100")
    assert refused.returncode != 0
    assert "no preset 'h100'" in refused.stderr and "h200" in refused.stderr

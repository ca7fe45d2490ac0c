import copy
import difflib
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common import params, yaml12
from pipeline.common.params import ParamsError

ROOT = Path(__file__).parents[3]
DEFAULTS = yaml12.parse((ROOT / "params.yaml").read_text(encoding="utf-8"))


def section_of(values, key):
    """The mapping that holds a dotted key, and the last part of the key."""
    *sections, field = key.split(".")
    return functools.reduce(lambda section, name: section[name], sections, values), field


def load_with(tmp_path, key, value):
    changed = copy.deepcopy(DEFAULTS)
    section, field = section_of(changed, key)
    section[field] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml12.dump(changed), encoding="utf-8")
    return params.load(path)


def test_the_repositorys_own_parameters_are_allowed():
    assert params.load(ROOT / "params.yaml").model.hop == 320


@pytest.mark.parametrize(
    "key, fixed, faulty",
    [
        ("preprocess.normalize", "clip", "peak"),
        ("preprocess.normalize", "clip", "none"),
        ("faults.model.output_activation", "none", "tanh"),
        ("loss.mse_weight", 0.5, 1.0),
        ("faults.loss.mse_clamp", 1.0, None),
        ("loss.perceptual_weight", 0.01, 0.1),
        ("faults.loss.stft_dtype", "float32", "autocast"),
        ("faults.quantizer.init", "kmeans", "normal"),
        ("faults.quantizer.init_scale", 0.01, 1.0),
        ("faults.quantizer.loss_clamp", 10.0, None),
        ("faults.quantizer.ema_target", "residual", "quantized"),
        ("faults.quantizer.commitment", "encoder", "codebook"),
    ],
)
def test_every_fix_is_a_parameter_with_its_faulty_value(tmp_path, key, fixed, faulty):
    for value in (fixed, faulty):
        section, field = section_of(load_with(tmp_path, key, value).model_dump(), key)
        assert section[field] == value


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("loss.mse_wieght", 0.5, ["loss.mse_wieght", "unknown key", "mse_weight"]),
        ("loss.mse_weight", -1.0, ["loss.mse_weight", "greater than or equal to 0", "-1.0"]),
        ("loss.mse_weight", "lots", ["loss.mse_weight", "number", "'lots'"]),
        ("faults.model.output_activation", "relu", ["faults.model.output_activation", "'none' or 'tanh'", "'relu'"]),
        ("model.latent_dim", 129, ["model.latent_dim (129) must not exceed 128 with model.coding=vocoder"]),
        ("model.hop", 160, ["model.hop (160) must be 320"]),
        ("quantizer.num_codebooks", 1, ["quantizer.num_codebooks of at least 2", "model.coding=vocoder"]),
        ("quantizer.num_codebooks", 2.5, ["quantizer.num_codebooks", "integer", "2.5"]),
        ("model.coding", "noise", ["model.coding", "'vocoder' or 'transform'", "'noise'"]),
        (
            "evaluate.judged_points",
            ["tokens_8", "loud_3"],
            ["evaluate.judged_points.1", "'loud_3' is not an operating point"],
        ),
        ("evaluate.judged_points", ["perception_1"], ["'perception_1' is not an operating point"]),
        ("evaluate.judged_points", ["snr_30.0"], ["evaluate.judged_points.0", "is snr_30, got 'snr_30.0'"]),
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


def test_fewer_codebooks_need_no_further_changes(tmp_path):
    """What is evaluated and judged follows the model: `evaluate.points`."""
    assert "tokens_8" in DEFAULTS["evaluate"]["judged_points"] and 8 in DEFAULTS["evaluate"]["num_codebooks"]
    assert load_with(tmp_path, "quantizer.num_codebooks", 4).quantizer.num_codebooks == 4


@given(key=st.sampled_from(params.keys()))
def test_a_missing_key_is_named(tmp_path_factory, key):
    changed = copy.deepcopy(DEFAULTS)
    section, field = section_of(changed, key)
    del section[field]
    path = tmp_path_factory.mktemp("missing") / "params.yaml"
    path.write_text(yaml12.dump(changed), encoding="utf-8")
    with pytest.raises(ParamsError, match=f"{key}: missing"):
        params.load(path)


@pytest.mark.parametrize(
    "text, said", [("", "valid dictionary"), ("a: [", "not valid YAML"), ("3", "valid dictionary")]
)
def test_a_broken_file_is_refused(tmp_path, text, said):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=said):
        params.load(path)


@pytest.mark.parametrize(
    "key, written, value",
    [
        ("train.learning_rate", "1e-05", 1e-5),
        ("data.root", "no", "no"),
        ("data.root", "12:30", "12:30"),
        ("tracking.project", "off", "off"),
        ("tracking.project", "'007'", "007"),
        ("data.root", "../తెలుగు", "../తెలుగు"),
    ],
)
def test_values_are_read_as_dvc_writes_them(tmp_path, key, written, value):
    path = tmp_path / "params.yaml"
    path.write_text(with_line(key, written), encoding="utf-8")
    section, field = section_of(params.load(path).model_dump(), key)
    assert section[field] == value


@pytest.mark.parametrize(
    "key, written, said",
    [
        ("tracking.wandb", "off", "tracking.wandb: Input should be 'online', 'offline' or 'disabled', got 'off'"),
        ("train.minutes", "12:30", "train.minutes: Input should be a valid number, got '12:30'"),
        ("data.root", "2024", "data.root: Input should be a valid string, got 2024; to make it a string, write -S"),
        ("tracking.wandb", "disabled\n  wandb: online", 'duplicate key "wandb"'),
    ],
)
def test_other_values_are_refused_as_they_were_written(tmp_path, key, written, said):
    path = tmp_path / "params.yaml"
    path.write_text(with_line(key, written), encoding="utf-8")
    with pytest.raises(ParamsError) as refused:
        params.load(path)
    assert said in str(refused.value)


def with_line(key, written):
    """The text of params.yaml with another value in the line of a key."""
    section, field = key.split(".")
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"{section}:")
    number = next(number for number in range(start, len(lines)) if lines[number].startswith(f"  {field}:"))
    lines[number] = f"  {field}: {written}"
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with this project's params.yaml and one cheap stage."""
    folder = tmp_path_factory.mktemp("overrides")
    shutil.copy(ROOT / "params.yaml", folder)
    sections = ", ".join(section for section in DEFAULTS)
    (folder / "dvc.yaml").write_text(f"stages:\n  cheap:\n    cmd: echo done\n    params: [{sections}]\n")
    author = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_"))}
    environment = inherited | author | {"DVC_NO_ANALYTICS": "1"}

    def run(*command):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "start")
    return run


@pytest.mark.parametrize(
    "override, removed, added",
    [
        ("loss.mse_weight=0.5", "mse_weight: 0.0", "mse_weight: 0.5"),
        ("train.gain_db=[-6.0,4.0]", "- -10.0", "- -6.0"),
        ("train.minutes=5.0", "minutes:", "minutes: 5.0"),
        ("data.root=../recordings", "root: data/sample", "root: ../recordings"),
        ('data.root="../నా మాటలు (1)/lang=te"', "root: data/sample", "root: ../నా మాటలు (1)/lang=te"),
        ("faults.quantizer.loss_clamp=null", "loss_clamp: 10.0", "loss_clamp:"),
    ],
    ids=["number", "list", "null", "string", "quoted as docs/pipeline.md says", "to null"],
)
def test_an_override_changes_one_line(repository, override, removed, added):
    repository(sys.executable, "-m", "dvc", "exp", "run", "-S", override)
    changed = repository("git", "diff", "--unified=0", "params.yaml").splitlines()[5:]
    repository("git", "checkout", "-q", "params.yaml")
    assert [line[1:].split("#")[0].strip() for line in changed] == [removed, added]


def test_the_file_is_in_the_form_in_which_dvc_writes_it(tmp_path):
    path = shutil.copy(ROOT / "params.yaml", tmp_path)
    params.reformat(path)
    before, after = ((folder / "params.yaml").read_text(encoding="utf-8").splitlines() for folder in (ROOT, tmp_path))
    difference = "\n".join(difflib.unified_diff(before, after, lineterm=""))
    assert not difference, f"run `python -m pipeline.common.params --format`:\n{difference}"


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_a_preset_with_a_wrong_value_is_refused(tmp_path):
    with pytest.raises(ParamsError, match=r"preset big.*\n.*model.channels"):
        load_with(tmp_path, "presets.big", {"model.channels": 0})


def test_a_preset_with_an_unknown_key_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="width is not a parameter"):
        load_with(tmp_path, "presets.big", {"model.width": 3})


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipeline.common.params", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_h200_preset_prints_as_overrides():
    words = command("h200").stdout.split()
    assert words[::2] == ["-S"] * (len(words) // 2)
    assert f"train.batch={DEFAULTS['presets']['h200']['train.batch']}" in words


def test_an_unknown_preset_is_refused():
    refused = command("h100")
    assert refused.returncode != 0
    assert "no preset 'h100'" in refused.stderr and "h200" in refused.stderr

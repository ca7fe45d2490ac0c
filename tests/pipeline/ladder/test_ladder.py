"""A short ladder in a real repository: experiments, tables, pictures, and what an interruption costs."""

import json
import sys
from dataclasses import replace

import pytest
import torch
import yaml

from pipeline.common import params
from pipeline.ladder import plan, reasons, runs
from pipeline.ladder.plan import Run
from pipeline.training.tokens import loss_config
from tests.pipeline.conftest import ROOT
from tests.pipeline.test_repro import Repository

LADDER = {
    "seeds": [0, 1],
    "train": {"train.epochs": 1},
    "faulty": {"faults.quantizer.ema_target": "quantized"},
    "rungs": [{"name": "ema", "set": {"faults.quantizer.ema_target": "residual"}}],
}


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    place = tmp_path_factory.mktemp("ladder") / "project"
    place.mkdir()
    repository = Repository(place)
    (place / "fixes.yaml").write_text(yaml.safe_dump(LADDER), encoding="utf-8")
    (place / "docs").mkdir()
    page = "<!-- table: docs/figures/fixes.json -->\n<!-- end of table -->\n"
    (place / "docs/fixes.md").write_text(page, encoding="utf-8")
    repository.dvc("repro", "preprocess")
    repository.commit("ladder")
    repository.output = repository.run(sys.executable, "-m", "pipeline.ladder")
    return repository


def experiments(repository):
    refs = repository.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").split("\n")
    return sorted(line for line in refs if "/stash" not in line and "/exec" not in line.lower() and line)


def test_every_rung_is_an_experiment_that_differs_by_its_fix(climbed):
    names = {line.rpartition("/")[2] for line in experiments(climbed)}
    rungs = "fix-00-everything-faulty", "fix-01-ema", "without-ema"
    assert {f"{rung}-s{seed}" for rung in rungs for seed in (0, 1)} <= names
    for before, after, fix in (
        ("fix-00-everything-faulty-s0", "fix-01-ema-s0", "faults.quantizer.ema_target"),
        ("fix-01-ema-s0", "fix-01-ema-s1", "train.seed"),
    ):
        changed = json.loads(climbed.dvc("params", "diff", before, after, "--json"))
        assert list(changed["params.yaml"]) == [fix]


def test_tables_and_pictures_are_written(climbed):
    table = json.loads((climbed.folder / "docs/figures/fixes.json").read_text())
    assert [row[0] for row in table["rows"]] == ["00 everything-faulty", "01 ema"]
    assert all(" ± " in row[4] and float(row[4].split()[0]) > 0 for row in table["rows"])
    assert table["rows"][0][4] != table["rows"][1][4]  # the fix took part in the training and was not merely recorded
    for name in ("fixes", "without"):
        assert (climbed.folder / f"docs/images/{name}.png").read_bytes().startswith(b"\x89PNG")
    assert table["rows"][1][1] in (climbed.folder / "docs/fixes.md").read_text()


def test_mechanisms_are_what_the_fixes_suppose(climbed):
    rows = {row[0]: row for row in json.loads((climbed.folder / "docs/figures/reasons.json").read_text())["rows"]}
    assert float(rows["`faults.loss.mse_clamp`"][2]) == 0 < float(rows["`faults.loss.mse_clamp`"][3])
    assert float(rows["`faults.quantizer.commitment`"][2]) == 0 < float(rows["`faults.quantizer.commitment`"][3])
    unmoved, moved = (float(rows["`faults.quantizer.ema_target`"][place]) for place in (2, 3))
    assert unmoved < 1e-3 * moved
    attached, detached = (float(rows["`faults.quantizer.detach_residual`"][place]) for place in (2, 3))
    assert 0 < attached < detached
    heavy, light = (float(rows["`loss.vq_weight`"][place]) for place in (2, 3))
    assert 0 < light < heavy
    # In so small a corpus there is next to no quantisation error, and the sign of these two is rounding: the test below has one.
    assert all(abs(float(rows["`loss.snr_weight`"][place])) < light for place in (2, 3))


def test_the_snr_term_holds_the_level_against_the_commitment_where_there_is_an_error(spoken):
    audio = torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(3)])
    few = {"quantizer.num_codebooks": 2, "quantizer.codebook_size": 16}
    settings = params.load_with(plan.read(ROOT / "fixes.yaml").train | few, ROOT / "params.yaml")
    codec, loss = reasons.fitted(settings, audio), loss_config(settings)
    without, with_snr = (
        reasons._slope(codec, replace(loss, snr_weight=weight), audio, "audio") for weight in (0.0, 1.0)
    )
    assert with_snr < without and with_snr < -0.1


def test_what_is_finished_is_not_run_again(climbed):
    before = experiments(climbed)
    missing = "fix-01-ema-s1"
    climbed.dvc("exp", "remove", missing)
    table = (climbed.folder / "docs/figures/fixes.json").read_bytes()
    climbed.run(sys.executable, "-m", "pipeline.ladder")
    after = experiments(climbed)
    assert {line for line in before if missing not in line} == {line for line in after if missing not in line}
    assert any(missing in line for line in after)
    assert (climbed.folder / "docs/figures/fixes.json").read_bytes() == table


def test_a_training_that_gives_up_is_a_result_and_any_other_failure_an_error(climbed, monkeypatch):
    monkeypatch.chdir(climbed.folder)
    for name, value in climbed.environment.items():
        monkeypatch.setenv(name, value)
    result = runs.perform(Run("collapsed", {}, {"train.epochs": 1, "train.min_perplexity": 0.99}), 0)
    assert result.failure.startswith("codebooks collapsed") and not result.history
    with pytest.raises(RuntimeError, match=r"wrong-s0: (.|\n)*train\.batch: Input should be greater"):
        runs.perform(Run("wrong", {}, {"train.batch": 0}), 0)

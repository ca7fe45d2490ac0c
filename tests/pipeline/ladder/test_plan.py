"""The fix ladder in fixes.yaml."""

import functools

import pytest
import yaml

from pipeline.common import params
from pipeline.ladder import plan
from tests.pipeline.conftest import ROOT


@pytest.fixture(scope="module")
def shipped():
    return plan.read(ROOT / "fixes.yaml")


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_each_rung_differs_from_the_one_before_by_its_fix(shipped):
    runs = plan.ladder(shipped)
    assert len(runs) == len(shipped.rungs) + 1
    for before, run, fix in zip(runs, runs[1:], shipped.rungs, strict=False):
        assert {key: value for key, value in run.overrides.items() if before.overrides[key] != value} == fix.set


def test_the_last_rung_has_no_fault_that_params_yaml_has_not(shipped):
    values = params.load(ROOT / "params.yaml").model_dump()
    faults = [key for key in shipped.faulty if key.startswith("faults.")]
    assert len(faults) == 10
    for key in faults:
        value = functools.reduce(lambda section, name: section[name], key.split("."), values)
        assert plan.ladder(shipped)[-1].overrides[key] == value, key


def test_without_undoes_one_fix_each(shipped):
    last = plan.ladder(shipped)[-1].overrides
    for run in plan.without(shipped):
        undone = {key: value for key, value in run.overrides.items() if last[key] != value}
        assert undone == run.fix != {}
        assert all(value in (shipped.faulty[key], *_set(shipped, key)) for key, value in undone.items())


def _set(shipped, key):
    return [fix.set[key] for fix in shipped.rungs if key in fix.set]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"rungs": [{"name": "a", "set": {"loss.mse_wieght": 1.0}}]}, "which is not among `faulty`"),
        ({"rungs": [{"name": "a", "set": {"loss.mse_weight": 1.0}}]}, "its value already"),
        ({"rungs": [{"name": "a", "set": {"loss.mse_weight": -1.0}}]}, "greater than or equal to 0"),
        ({"rungs": [{"name": "A b", "set": {"loss.mse_weight": 0.5}}]}, "rungs.0.name"),
        ({"rungs": 2 * [{"name": "a", "set": {"loss.mse_weight": 0.5}}]}, "must differ"),
        ({"faulty": {"loss.mse_weight": 1.0, "loss.mse_wieght": 1.0}}, "mse_wieght is not a parameter"),
        ({"seeds": []}, "seeds"),
    ],
)
def test_a_wrong_ladder_is_refused_in_words(tmp_path, change, said):
    right = {
        "seeds": [0],
        "train": {},
        "faulty": {"loss.mse_weight": 1.0},
        "rungs": [{"name": "half", "set": {"loss.mse_weight": 0.5}}],
    }
    path = tmp_path / "fixes.yaml"
    path.write_text(yaml.safe_dump(right), encoding="utf-8")
    plan.read(path)
    path.write_text(yaml.safe_dump(right | change), encoding="utf-8")
    with pytest.raises((ValueError, params.ParamsError), match=said):
        plan.read(path)

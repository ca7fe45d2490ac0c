"""The wheels are complete, and what cannot be downloaded is named."""

import pytest

from pipeline.common.stage import StageError
from pipeline.gpu import wheels
from tests.pipeline.gpu.bare_machine import needed


@pytest.mark.parametrize("name", wheels.DISTRIBUTIONS)
def test_what_a_wheel_needs_is_there(name):
    assert set(needed(name)) <= {*wheels.DISTRIBUTIONS, *wheels.IN_THE_IMAGE}


def test_without_a_registry_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.undo()  # the replacement of conftest.py
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(StageError, match=r"cannot be downloaded .*; this step needs a package registry"):
        wheels.collect(tmp_path / "wheels")

"""The README is short, and its tables of extras and stages are those of pyproject.toml and dvc.yaml."""

import re
import tomllib

import pytest
import yaml

from tests.docs.pages import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = 150


def test_it_is_short():
    assert len(README.splitlines()) <= LINES


def extras() -> list[str]:
    return list(
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    )


def stages() -> list[str]:
    return list(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


@pytest.mark.parametrize("column, names", [("extra", extras), ("stage", stages)])
def test_a_table_names_all_there_are(column, names):
    table = README.split(f"\n| {column} |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == names()

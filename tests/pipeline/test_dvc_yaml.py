"""dvc.yaml lists exactly the code that each stage runs, and plots only columns that are there for any model."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.common.yaml12 import parse
from tests.source_files import ROOT, python_files, reached

DOCUMENT: Any = parse((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
# Code that decides no result: reading and checking of parameters, writing of files, processes, messages. Nothing that these
# import counts as a dependency either.
PLUMBING = {
    *(
        f"pipeline/common/{name}.py"
        for name in ("cluster", "files", "params", "processes", "sections", "stage", "yaml12")
    ),
    "pipeline/training/tracking.py",
    "codec/errors.py",
    "codec/files/whole.py",
    "codec/networks/torchaudio_import.py",
    "codec/processors.py",
}


def stages() -> Iterator[tuple[str, str, list[str]]]:
    """Name, command and dependencies of every stage, with those of `foreach` written out."""
    for name, stage in DOCUMENT["stages"].items():
        if "foreach" not in stage:
            yield name, stage["cmd"], stage["deps"]
            continue
        items = stage["foreach"]
        for key in items:
            values = {"python": "${python}", "key": key, "item": key}
            if isinstance(items, dict):
                values |= {f"item.{field}": value for field, value in items[key].items()}
            command, *deps = (
                re.sub(r"\$\{(.+?)\}", lambda match: values[match[1]], text)  # noqa: B023 (used at once)
                for text in (stage["do"]["cmd"], *stage["do"]["deps"])
            )
            yield f"{name}@{key}", command, deps


STAGES = {name: (command, deps) for name, command, deps in stages()}


def entries(command: str) -> list[str]:
    """The files with which a stage's code begins."""
    module, *arguments = command.removeprefix("${python} -m ").split()
    path = ROOT / module.replace(".", "/")
    if path.is_dir():
        return python_files(path.relative_to(ROOT).as_posix())
    start = f"{path.relative_to(ROOT)}.py"
    return [start, f"pipeline/training/{arguments[0]}.py"] if module == "pipeline.train" else [start]


def has_code(file: str) -> bool:
    """Whether there is more in a file than its docstring."""
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body)


def needed(command: str) -> set[str]:
    return {file for file in reached(entries(command), stop=PLUMBING) - PLUMBING if has_code(file)}


def covered(dependency: str) -> set[str]:
    """The code files that a dependency covers."""
    files = python_files(dependency) if (ROOT / dependency).is_dir() else [dependency]
    return {file for file in files if file.endswith(".py") and (ROOT / file).exists() and has_code(file)} - PLUMBING


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_code_that_it_runs_and_on_no_other(name):
    command, deps = STAGES[name]
    code = {dep: files for dep in deps if (files := covered(dep))}
    needs = needed(command)
    missing = needs - set().union(*code.values())
    superfluous = {dep: extra for dep, files in code.items() if (extra := files - needs)}
    assert not missing and not superfluous


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_runs_in_the_environment_of_the_project(name):
    """`${python}`, which vars explains, or `.venv/bin/dvc repro` in a shell without activation would find another Python."""
    assert STAGES[name][0].startswith("${python} -m pipeline.")


@pytest.mark.parametrize("name", STAGES)
def test_the_code_that_a_stage_depends_on_exists(name):
    absent = {dep for dep in STAGES[name][1] if dep.endswith(".py") and not (ROOT / dep).exists()}
    assert not absent


def test_an_edit_of_what_runs_trains_nothing_again():
    """No inference, container or export code among the dependencies of the trainings."""
    for name in ("train@tokens", "train@waveform"):
        used = {file for dep in STAGES[name][1] for file in covered(dep)}
        assert not [file for file in used if re.search(r"graph|codec/(files|audio|cli)|streaming|engine|search", file)]


def test_plots_name_no_particular_codebook():
    """Or a model with fewer codebooks would have plots without their columns."""
    columns = [column for plot in DOCUMENT["plots"] for one in plot.values() for column in str(one["y"]).split("'")]
    assert not [column for column in columns if re.fullmatch(r"(snr|perplexity|dead)_([2-9]|\d\d+)", column)]

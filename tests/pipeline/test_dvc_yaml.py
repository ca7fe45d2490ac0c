"""What dvc.yaml says the stages that make figures depend on, against what their code imports."""

import ast
from pathlib import Path

import pytest
import yaml

from tests.pipeline.conftest import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ENTRIES = {  # of a stage's code, the module that leads to what makes its figures
    ("train", "tokens"): "pipeline.tokens_task",
    ("train", "waveform"): "pipeline.waveform_task",
    ("evaluate", "tokens"): "pipeline.evaluate",
    ("evaluate", "waveform"): "pipeline.evaluate",
    ("export", "tokens"): "pipeline.export",
    ("export", "waveform"): "pipeline.export",
}
NO_FIGURE = {
    "codec/audio_files.py",  # writes files whole or not at all
    "codec/torchaudio_import.py",  # makes a wheel usable or says why it is not
}


def source(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def imported(file: Path) -> set[Path]:
    """Files of this repository that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {source(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {source(node.module), *(source(f"{node.module}.{alias.name}") for alias in node.names)}
    return found - {None, source("codec")}  # the package itself has no code, and all of the codec behind it


def reached(start: Path, other: str | None) -> set[Path]:
    """Files of this repository that a file leads to, but for the other model where a model is chosen by its name."""
    seen, waiting = set(), {start}
    while waiting:
        file = waiting.pop()
        seen.add(file)
        found = imported(file) - seen
        if other and file in (source("codec.models"), source("pipeline.tasks")):
            found = {path for path in found if other not in str(path.relative_to(ROOT))}
        waiting |= found
    return seen


@pytest.mark.parametrize("stage, model", ENTRIES)
def test_a_stage_depends_on_all_of_the_codec_that_it_runs(stage, model):
    other = {"tokens": "waveform", "waveform": "tokens"}[model] if stage == "train" else None
    used = {file.relative_to(ROOT) for file in reached(source(ENTRIES[stage, model]), other)}
    of_codec = {file for file in used if file.parts[0] == "codec" and file.name != "__init__.py"}
    deps = [dep.replace("${key}", model).replace("${item}", model) for dep in STAGES[stage]["do"]["deps"]]
    missing = {str(file) for file in of_codec if not any(file.is_relative_to(dep) for dep in deps)}
    assert len(of_codec) > 5 and missing <= NO_FIGURE

"""Imports point one way: the codec knows nothing of the pipeline, its runtime nothing of training, no room one above it."""

from pathlib import Path

import pytest
import yaml

from tests.source_files import ROOT, imported, imported_modules, python_files, reached

DOCUMENT = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
COMMANDS = [stage.get("do", stage)["cmd"].split() for stage in DOCUMENT["stages"].values()]
STAGES = {command[2].removeprefix("pipeline.") for command in COMMANDS}  # ${python} -m pipeline.STAGE
# The rooms of pipeline/ from the bottom up. A file may import its own room and those on lower levels.
LEVELS = [
    {"common"},
    {"corpus", "training", "results", "judges"},
    {"peers"},
    STAGES - {"report"},
    {"report", "ladder", "gpu", "doctor"},
    {"flows"},
]
TRAINING = {"torch", "torchaudio", "dvc", "prefect", "wandb", "telucodec.networks"}
PIPELINE = python_files("pipeline")
CODEC = python_files("codec")


def room(file: str) -> str:
    """The room or stage that a file of pipeline/ belongs to."""
    return Path(file).parts[1].removesuffix(".py")


def level(file: str) -> int:
    [number] = [number for number, rooms in enumerate(LEVELS) if room(file) in rooms]
    return number


def below(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_the_top_of_the_pipeline_holds_exactly_the_stages():
    modules = {path.stem for path in (ROOT / "pipeline").glob("*.py")} - {"__init__"}
    assert modules | {"report"} == STAGES


@pytest.mark.parametrize("file", [file for file in PIPELINE if file != "pipeline/__init__.py"])
def test_a_room_of_the_pipeline_imports_only_rooms_below(file):
    upward = {
        other
        for other in imported(file)
        if other.startswith("pipeline/") and room(other) != room(file) and level(other) >= level(file)
    }
    assert not upward


@pytest.mark.parametrize("folder", ["pipeline", "codec"])
def test_no_imports_run_in_a_circle(folder):
    circles = {
        file for file in python_files(folder) if any(file in reached([other]) for other in imported(file) - {file})
    }
    assert not circles


@pytest.mark.parametrize("file", CODEC)
def test_the_codec_imports_nothing_of_the_pipeline(file):
    assert not {name for name in imported_modules(file) if below(name, {"pipeline"})}


@pytest.mark.parametrize("file", [file for file in CODEC if not file.startswith("codec/networks/")])
def test_what_runs_needs_nothing_of_training(file):
    assert not {name for name in imported_modules(file) if below(name, TRAINING)}

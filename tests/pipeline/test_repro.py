"""The whole pipeline through DVC's own commands, in a repository of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from pipeline.sample import VOICES
from tests.pipeline.conftest import ROOT, SMALL, change_params

# The shares for which sample.VOICES fills all splits.
DEFAULT_SHARES = {"preprocess.validation_fraction": 0.12, "preprocess.test_fraction": 0.12}
MODELS = "tokens", "waveform"
TESTED = "evaluate@tokens"  # the last stage of most experiments here, which do not look at later ones
STAGES = (
    "sample",
    "discover",
    "preprocess",
    *(f"{stage}@{model}" for stage in ("train", "evaluate", "export") for model in MODELS),
    "train_enhancer",
    "export@hf",
    "compare",
    "bound",
    "gates",
    "report",
)


class Repository:
    """A copy of the project with tiny parameters, under git and DVC."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("codec", "pipeline"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "telucodec").symlink_to("codec")
        for name in ("params.yaml", "dvc.yaml", ".gitignore", ".dvcignore"):
            shutil.copy(ROOT / name, folder / name)
        change_params(folder, {**SMALL, **DEFAULT_SHARES})
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "PYTHONPATH"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        author = {
            f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        self.environment = environment | author | {"PATH": path, "DVC_NO_ANALYTICS": "1", "OMP_NUM_THREADS": "1"}
        self.run("git", "init", "-q")
        self.dvc("init", "-q")
        shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
        self.commit("start")

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def dvc(self, *arguments: str, code: int = 0) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, code=code)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def metrics(self, stage: str, experiment: str | None = None) -> dict:
        """Metrics in the workspace, or of a named experiment."""
        path = f"metrics/{stage}.json"
        if experiment is None:
            return json.loads((self.folder / path).read_text())
        refs = self.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
        (ref,) = [ref for ref in refs if ref.endswith(f"/{experiment}")]
        return json.loads(self.run("git", "show", f"{ref}:{path}"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory, spoken):
    """A repository after its first `dvc repro`, with recordings in a folder beside it."""
    place = tmp_path_factory.mktemp("repro")
    (place / "project").mkdir()
    for number, speaker in enumerate(VOICES[:8]):  # names known to fill all splits
        (place / "recordings" / speaker).mkdir(parents=True)
        for take in range(2):
            path = place / "recordings" / speaker / f"{take}.wav"
            soundfile.write(path, spoken(1.5, 9 * number + take, 22050), 22050)
    repository = Repository(place / "project")
    repository.first_output = repository.dvc("repro")
    repository.commit("first run")
    return repository


def test_one_command_runs_every_stage(repository):
    for stage in STAGES:
        assert f"Running stage '{stage}'" in repository.first_output
    assert repository.metrics("tokens/evaluate")["tokens_4"]["snr"] > 0
    for name in ("model.safetensors", "config.json", "encoder.onnx", "decoder.onnx", "README.md"):
        assert (repository.folder / "export" / "tokens" / name).stat().st_size > 0
    assert "data:audio/flac" in (repository.folder / "report" / "index.html").read_text()


def test_a_second_repro_only_looks_for_new_recordings(repository):
    before = (repository.folder / "dvc.lock").read_bytes()
    output = repository.dvc("repro")
    assert [stage for stage in STAGES if f"Running stage '{stage}'" in output] == ["discover"]
    assert (repository.folder / "dvc.lock").read_bytes() == before


def test_the_environment_need_not_be_activated(repository, monkeypatch):
    """Stages run in .venv also where PATH has another Python, or none."""
    other, link = repository.folder.parent / "bin", repository.folder / ".venv"
    other.mkdir(exist_ok=True)
    (other / "python").write_text("#!/bin/sh\nexit 97\n")
    (other / "python").chmod(0o755)
    python = str(link / "bin" / "python")
    monkeypatch.setitem(repository.environment, "PATH", f"{other}{os.pathsep}{os.environ['PATH']}")
    repository.run(sys.executable, "-m", "dvc", "repro", "-fs", "gates", code=255)  # leaves no metrics behind
    link.symlink_to(sys.prefix)
    try:
        assert "Running stage 'gates'" in repository.run(python, "-m", "dvc", "repro", "-fs", "gates")
    finally:
        link.unlink()


def test_an_experiment_is_a_diff_of_parameters_and_metrics(repository):
    output = repository.dvc("exp", "run", "--temp", "-S", "loss.mse_weight=20.0", "-n", "more-mse", TESTED)
    assert (
        "Running stage 'train@tokens'" in output
        and "Running stage 'train@waveform'" not in output
        and "Running stage 'preprocess'" not in output
    )
    changed = json.loads(repository.dvc("params", "diff", "HEAD", "more-mse", "--json"))
    assert changed == {"params.yaml": {"loss.mse_weight": {"old": 0.5, "new": 20.0, "diff": 19.5}}}
    metrics = json.loads(repository.dvc("metrics", "diff", "HEAD", "more-mse", "--json"))
    assert "tokens_4.snr" in metrics["metrics/tokens/evaluate.json"]
    shown = repository.dvc("exp", "show", "--no-pager", "--csv")
    assert "more-mse" in shown and "loss.mse_weight" in shown
    assert repository.run("git", "status", "--porcelain").strip() == ""


def test_going_back_takes_the_result_from_the_cache(repository):
    before = repository.metrics("tokens/evaluate")
    repository.dvc("exp", "run", "-S", "loss.mse_weight=0.75", TESTED)
    assert repository.metrics("tokens/evaluate") != before
    output = repository.dvc("exp", "run", "-S", "loss.mse_weight=0.5", TESTED)
    assert "Stage 'train@tokens' is cached" in output
    assert repository.metrics("tokens/evaluate") == before
    repository.run("git", "checkout", "-q", ".")
    repository.dvc("checkout")


@pytest.mark.parametrize("way", [["--temp"], []], ids=["temp", "workspace"])
def test_another_corpus_is_one_parameter_also_by_a_relative_path_that_leaves_the_repository(repository, way):
    overrides = [
        "-S",
        "data.root=../recordings",
        "-S",
        "evaluate.root=../recordings/m1",
        "-S",
        "data.max_rejected_fraction=0.5",
    ]
    name = f"other-{len(way)}"
    repository.dvc("exp", "run", *way, *overrides, "-n", name, TESTED)
    found = repository.metrics("discover", name)
    assert found["data"]["clips"] == 14 and found["data"]["rejected"]["duplicate"] == 2
    assert repository.metrics("tokens/evaluate", name)["clips"] == 2
    repository.run("git", "checkout", "-q", ".")
    repository.dvc("checkout")


def test_queued_experiments_run(repository):
    repository.dvc("exp", "run", "--queue", "-S", "loss.snr_weight=0.5", "-n", "queued", TESTED)
    repository.dvc("queue", "start", "-j", "1")
    for _ in range(100):
        status = repository.dvc("queue", "status")
        if "Success" in status or "Failed" in status:
            break
        repository.run("sleep", "2")
    assert "Success" in status, repository.dvc("queue", "logs", "queued")
    assert "queued" in repository.dvc("exp", "show", "--no-pager", "--csv")


def test_plots_can_be_drawn(repository):
    repository.dvc("plots", "show", "-o", "drawn")
    page = (repository.folder / "drawn" / "index.html").read_text()
    for title in ("SNR by rate", "Tokens, validation SNR", "Waveform, bits at equal SNR"):
        assert title in page
    shutil.rmtree(repository.folder / "drawn")


@pytest.mark.parametrize(
    "override, said",
    [
        ("loss.mse_weight=-1", "loss.mse_weight: Input should be greater than or equal to 0"),
        ("data.root=nowhere", "no folder"),
        ("faults.model.output_activation=relu", "'none' or 'tanh'"),
    ],
)
def test_a_wrong_value_ends_with_one_sentence_and_a_code(repository, override, said):
    output = repository.dvc("exp", "run", "--temp", "-S", override, code=255)
    assert said in output and "Traceback" not in output


def test_a_mistyped_key_is_refused(repository):
    output = repository.dvc("exp", "run", "--temp", "-S", "loss.mse_wieght=1", code=255)
    assert "mse_wieght" in output

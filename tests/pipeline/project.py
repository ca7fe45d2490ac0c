"""A repository with stand-in stages, in which flows run as processes."""

import json
import os
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import psutil
import yaml

from tests import processes
from tests.pipeline.conftest import ROOT, change_params
from tests.pipeline.forked import Flow

STAGES = {
    "stages": {  # not in the order in which they must run
        "train": {
            "cmd": "python -m stand_in train",
            "deps": ["data/numbers"],
            "params": ["train", "loss"],
            "outs": ["data/model"],
            "metrics": [{"metrics/evaluate.json": {"cache": False}}],
        },
        "data": {"cmd": "python -m stand_in data", "outs": ["data/numbers"]},
    }
}
EPOCHS = 8


class Project:
    """The repository; what each stage does is in stand_in.py."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._numbers = count()
        shutil.copy(ROOT / "params.yaml", folder)
        shutil.copy(Path(__file__).with_name("stand_in.py"), folder)
        change_params(
            folder,
            {
                "train.epochs": EPOCHS,
                "train.learning_rate": 0.02,
                "loss.mse_weight": 0.5,
                "tracking.wandb": "disabled",
            },
        )
        (folder / "dvc.yaml").write_text(yaml.safe_dump(STAGES))
        (folder / ".gitignore").write_text(".work/\n__pycache__/\ntrouble\nlist.yaml\n")
        other = folder.parent / "bin"  # whose Python has nothing installed, as where no environment is activated
        other.mkdir(exist_ok=True)
        (other / "python").write_text("#!/bin/sh\nexit 97\n")
        (other / "python").chmod(0o755)
        author = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.environment = (
            os.environ
            | author
            | {
                "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
                "PATH": f"{other}{os.pathsep}{os.environ['PATH']}",
                "DVC_NO_ANALYTICS": "1",
                "TELUCODEC_ROOT": str(folder),
            }
        )
        for command in (
            ["git", "init", "-q"],
            [sys.executable, "-m", "dvc", "init", "-q"],
            ["git", "add", "-A"],
            ["git", "commit", "-qm", "start"],
        ):
            subprocess.run(command, cwd=folder, env=self.environment, check=True)

    def start(self, *arguments: str, **environment: str) -> Flow:
        log = self.folder.parent / f"flow-{next(self._numbers)}.log"
        return Flow(self.folder, self.environment | environment, log, arguments or ("train",))

    def run(self, *arguments: str, code: int = 0, **environment: str) -> str:
        return self.start(*arguments, **environment).output(code)

    def metrics(self) -> dict:
        return json.loads((self.folder / "metrics" / "evaluate.json").read_text())

    def trouble(self, *what: tuple[int, str]) -> Path:
        """What happens in training after which epochs, as stand_in.py says; returns the file that a "hold" waits for."""
        path = self.folder / "trouble"
        path.write_text(json.dumps(dict(what)))
        return path

    def again(self) -> None:
        """Training not done yet."""
        for name in ("data/model", "metrics", ".work/stand_in", ".dvc/cache", ".dvc/tmp"):
            path = self.folder / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        lock = yaml.safe_load((self.folder / "dvc.lock").read_text())
        lock["stages"].pop("train", None)
        (self.folder / "dvc.lock").write_text(yaml.safe_dump(lock))

    def epoch(self, weight: float = 0.5) -> int:
        """Up to which training with this weight is safe."""
        path = self.folder / ".work" / "stand_in" / f"{weight}.json"
        return json.loads(path.read_text())["epoch"] if path.exists() else 0

    def processes(self, words: str = "") -> list[psutil.Process]:
        """Everything that works in the folder, with these words in its command."""
        return processes.living(lambda process: process.cwd() == str(self.folder) and processes.says(process, words))

    def stage(self) -> psutil.Process:
        """The one that trains; not the shell in which DVC started it."""
        working = self.processes("stand_in train")
        return processes.living(lambda process: process.cmdline()[-2:] == ["stand_in", "train"], among=working)[0]


def wait_for(condition, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
    return value

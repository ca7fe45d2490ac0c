"""Randomly timed kills over the whole pipeline: `python -m tools.kill_storm [--kills 20] [--seed 0]`; no part of the fast tests.

A flow runs the real stages with tiny parameters against a real server and is killed again and again: the flow's process,
DVC, the stage, the guard between them, or all at once. The server is killed too, and started again while the flow runs.
Whenever a run gets through, its metrics must be those of an undisturbed run, and everything is wiped for the next. Counts
runs whose metrics differ (wrong), and runs that the next one could not go on from or that the server still believes to be
running (lost).
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from pipeline.flows import serve
from tests import processes
from tests.pipeline.test_repro import Repository

VICTIMS = "flow", "guard", "dvc", "stage", "all", "server"
SECONDS_BETWEEN = 2, 25


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.kill_storm")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=4288)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        os.environ["PREFECT_HOME"] = f"{place}/home"
        with Server(arguments.port) as server:
            repository = Repository(_made(Path(place) / "project"))
            repository.environment |= {
                name: value for name, value in serve.environment(arguments.port).items() if name.startswith("PREFECT_")
            } | {"PREFECT_HOME": f"{place}/home"}
            expected = _finish(repository)
            print(f"undisturbed: {expected['metrics/tokens/evaluate.json']}", flush=True)
            kills, wrong, lost, done = 0, 0, 0, 0
            _wipe(repository)
            while kills < arguments.kills:
                process = _start(repository)
                while process.poll() is None and kills < arguments.kills:
                    try:
                        process.wait(chance.uniform(*SECONDS_BETWEEN))
                    except subprocess.TimeoutExpired:
                        kills += 1
                        victim = chance.choice(VICTIMS)
                        done_to = server.restart() if victim == "server" else _kill(process, victim)
                        print(f"kill {kills}: {done_to}", flush=True)
                if process.wait() > 0:
                    print(f"  gave up: {_last_line(repository)}", flush=True)
                if process.returncode == 0:
                    done, wrong = done + 1, wrong + (_metrics(repository) != expected)
                    print(f"  got through ({done}); wrong so far: {wrong}", flush=True)
                    if kills < arguments.kills:
                        _wipe(repository)
            try:
                wrong += _finish(repository) != expected
                done += 1
            except subprocess.CalledProcessError as error:
                lost += 1
                print(error.stderr[-3000:])
            lost += _still_running(repository)
    print(f"{kills} kills, {done} runs got through: {lost} lost, {wrong} wrong")
    sys.exit(bool(lost or wrong))


class Server:
    """A Prefect server that can be killed and started again; it ends after the block."""

    def __init__(self, port: int):
        self._port, self._running = port, contextlib.ExitStack()

    def __enter__(self) -> "Server":
        self._process = self._running.enter_context(serve.server(self._port))
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def restart(self) -> str:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._running.close()
        self.__enter__()
        return "server"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _start(repository: Repository) -> subprocess.Popen:
    log = (repository.folder.parent / "flow.log").open("a")
    command = [sys.executable, "-m", "pipeline.flows", "train"]
    return subprocess.Popen(command, cwd=repository.folder, env=repository.environment, stdout=log, stderr=log)


def _last_line(repository: Repository) -> str:
    return (repository.folder.parent / "flow.log").read_text().splitlines()[-1]


def _finish(repository: Repository) -> dict:
    command = [sys.executable, "-m", "pipeline.flows", "train"]
    subprocess.run(
        command, cwd=repository.folder, env=repository.environment, check=True, capture_output=True, text=True
    )
    return _metrics(repository)


def _metrics(repository: Repository) -> dict:
    paths = sorted((repository.folder / "metrics").rglob("*.json"))
    return {str(path.relative_to(repository.folder)): json.loads(path.read_text()) for path in paths}


def _kill(flow: subprocess.Popen, victim: str) -> str:
    """Kill one process of the tree, or all of them; the flow where the victim is not there just now."""
    root = psutil.Process(flow.pid)
    members = root.children(recursive=True)
    marks = {"guard": "guard.py", "dvc": "dvc repro", "stage": "-m pipeline."}
    chosen = processes.living(
        lambda member: victim == "all" or (victim in marks and processes.says(member, marks[victim])), among=members
    )
    if victim in ("flow", "all") or not chosen:
        chosen, victim = [*chosen, root], victim if victim == "all" else "flow"
    processes.end(chosen[-1:] if victim not in ("all", "flow") else chosen)
    time.sleep(0.2)
    return victim


def _wipe(repository: Repository) -> None:
    """Back to a fresh clone, without the results that DVC remembers."""
    repository.run("git", "checkout", "-q", ".")
    repository.run("git", "clean", "-qfdx", "-e", ".work/flows")
    shutil.rmtree(repository.folder / ".dvc" / "cache", ignore_errors=True)
    shutil.rmtree(repository.folder / ".dvc" / "tmp", ignore_errors=True)


def _still_running(repository: Repository) -> int:
    listed = repository.run(sys.executable, "-m", "prefect", "flow-run", "ls", "--state", "Running", "-o", "json")
    return len(json.loads(listed))


if __name__ == "__main__":
    main()

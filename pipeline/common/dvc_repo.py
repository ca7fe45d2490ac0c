"""What DVC and git know about the workspace: its stages, their state, experiments and metrics."""

import contextlib
import csv
import io
import json
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import networkx
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo

from pipeline.common import files
from pipeline.common import params as parameters
from pipeline.common.stage import is_shallow

LOCK_SECONDS = 60


class DvcError(Exception):
    """DVC cannot answer; the message is DVC's own."""


class DvcBusyError(DvcError):
    """Another DVC process keeps the workspace locked."""


def stages() -> tuple[list[str], set[str]]:
    """The names of all stages, each after the stages it depends on, and those that are not up to date.

    Raises:
        DvcBusyError: another DVC process keeps the workspace locked for longer than LOCK_SECONDS.
        DvcError: dvc.yaml or dvc.lock is invalid.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return _stages()
        except LockError as error:  # as of an editor that asks for the status
            if time.monotonic() > deadline:
                raise DvcBusyError(f"DVC: {error}") from None
            time.sleep(LOCK_SECONDS / 60)
        except DvcException as error:
            raise DvcError(f"DVC: {error}") from None


def _stages() -> tuple[list[str], set[str]]:
    with Repo() as repo:
        commands = [stage for stage in repo.index.stages if stage.cmd]
        place = {stage: number for number, stage in enumerate(commands)}
        after = repo.index.graph.subgraph(commands).reverse()
        ordered = networkx.lexicographical_topological_sort(after, key=place.__getitem__)
        return [stage.addressing for stage in ordered], set(repo.status())


def begun() -> Callable[[], None]:
    """Repair what the last run left behind if it was killed; call what this returns when the new run has ended well."""
    unfinished = _kept_lock().with_name("unfinished")
    if unfinished.exists():
        repair()
    unfinished.touch()
    return unfinished.unlink


def keep_lock() -> None:
    """Keep a copy of dvc.lock after a finished stage."""
    with contextlib.suppress(FileNotFoundError):
        files.write_text(_kept_lock(), Path("dvc.lock").read_text(encoding="utf-8"))


def repair() -> None:
    """After a kill: replace files that DVC may have been writing. It writes dvc.lock and rwlock in place and cannot read halves.

    The kept dvc.lock is at worst an old one: DVC then takes later results from its cache.

    Raises:
        DvcBusyError: another DVC process keeps the workspace locked, so that nobody can tell.
    """
    rwlock = Path(".dvc/tmp/rwlock")
    with contextlib.suppress(FileNotFoundError):
        try:
            json.loads(rwlock.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            rwlock.unlink()
    lock = Path("dvc.lock")
    if _fault() is None or not lock.exists():
        return
    broken = lock.read_bytes()
    lock.unlink()
    if _fault() is not None:  # so it is not dvc.lock
        with files.whole_file(lock) as temporary:
            temporary.write_bytes(broken)
    elif _kept_lock().exists():
        files.write_text(lock, _kept_lock().read_text(encoding="utf-8"))


def _fault() -> Exception | None:
    """What DVC cannot read here; half a file causes errors of many kinds."""
    try:
        stages()
    except DvcBusyError:
        raise
    except Exception as error:
        return error
    return None


def _kept_lock() -> Path:
    return files.work_folder("flows.lock") / "dvc.lock"


def refuse_shallow() -> None:
    """Check that DVC can keep experiments that run in a folder of their own, with --temp or --queue.

    Raises:
        DvcError: git has only the last commits. DVC then ends with 0 and keeps nothing.
    """
    if is_shallow(Path()):
        raise DvcError("this is a shallow clone, in which DVC loses experiments; first run `git fetch --unshallow`")


def experiment(name: str) -> str | None:
    """The git reference of a finished experiment on the current commit, or None."""
    head = _git("rev-parse", "HEAD").strip()
    prefix = f"refs/exps/{head[:2]}/{head[2:]}/"
    return prefix + name if _git("for-each-ref", "--format=%(refname)", prefix + name).split() else None


def finished(name: str, overrides: Mapping[str, object]) -> str | None:
    """As `experiment`, if it has the parameters that these overrides give now.

    Raises:
        DvcError: there is one of this name with other parameters, or its parameters cannot be read.
    """
    reference = experiment(name)
    if reference is None:
        return None
    remedy = f"choose another name, or first run `dvc exp remove {name}`"
    try:
        other = parameters.differing(file_at(reference, parameters.PATH), overrides)
    except parameters.ParamsError as error:
        raise DvcError(f"experiment {name} is there, but {error}; {remedy}") from None
    if other:
        raise DvcError(f"experiment {name} is there with other values of {', '.join(other)}; {remedy}")
    return reference


def file_at(revision: str, path: str | Path) -> str:
    """The text of a file at a git revision.

    Raises:
        CalledProcessError: there is no such file or revision.
    """
    command = ["git", "show", f"{revision}:{Path(path).as_posix()}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def numbers_at(revision: str, path: str | Path) -> list[dict[str, float]]:
    """The rows of a CSV file of numbers at a git revision; an empty cell is NaN.

    Raises:
        CalledProcessError: there is no such file or revision.
    """
    rows = csv.DictReader(io.StringIO(file_at(revision, path)))
    return [{key: float(value or "nan") for key, value in row.items()} for row in rows]


def metrics(revision: str | None = None) -> dict[str, dict[str, float]]:
    """Numbers by metrics file and dotted name, in the workspace or at a git revision; empty if there are none."""
    if revision is None:
        texts = {str(path): path.read_text(encoding="utf-8") for path in sorted(files.METRICS.rglob("*.json"))}
    else:
        paths = _git("ls-tree", "-r", "--name-only", revision, f"{files.METRICS}/").split()
        texts = {path: file_at(revision, path) for path in paths if path.endswith(".json")}
    return {path: _flat(json.loads(text)) for path, text in texts.items()}


def headline(measured: dict[str, dict[str, float]]) -> dict[str, float]:
    """The highest SNR of each evaluated model in dB: {"snr": 12.3} or, by model, {"snr tokens": 12.3, ...}."""
    best = {}
    for path, values in measured.items():
        snr = [value for name, value in values.items() if name.endswith(".snr")]
        if Path(path).name == "evaluate.json" and snr:
            model = Path(path).parent.relative_to(files.METRICS)
            best["snr" if model == Path() else f"snr {model}"] = max(snr)
    return best


def _flat(value: object, name: str = "") -> dict[str, float]:
    if isinstance(value, dict):
        parts = [_flat(item, f"{name}.{key}" if name else key) for key, item in value.items()]
        return {key: number for part in parts for key, number in part.items()}
    return {name: value} if isinstance(value, int | float) and not isinstance(value, bool) else {}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""

"""What git and DVC left in the workspace, looked at without DVC, which may be locked."""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.common.stage import is_shallow
from telucodec.cli.doctor import Finding

TEMPORARY = Path(".dvc/tmp")


def git() -> Iterator[Finding]:
    """The repository, who commits, and what differs from the last commit."""
    if shutil.which("git") is None:
        yield Finding("git", "fault", "not installed", "install it; experiments need it")
        return
    looked = subprocess.run(["git", "rev-parse", "--is-inside-work-tree"], capture_output=True, text=True)
    if looked.stdout.strip() != "true":
        yield _no_repository(looked.stderr)
        return
    if not _git("rev-parse", "--verify", "--quiet", "HEAD"):
        yield Finding("git", "fault", "no commit yet", "git add . && git commit")
        return
    yield Finding("git", "ok", _git("log", "-1", "--format=%h %s"))
    if is_shallow(Path()):
        yield Finding(
            "history",
            "fault",
            "a shallow clone, in which DVC loses experiments with --temp and --queue",
            "git fetch --unshallow",
        )
    if not (_git("config", "user.name") and _git("config", "user.email")):
        yield Finding(
            "git author",
            "fault",
            "none; experiments are commits",
            "git config user.name NAME; git config user.email ADDRESS",
        )
    changed = [name for name in ("params.yaml", "dvc.lock", "dvc.yaml") if _git("status", "--porcelain", "--", name)]
    if changed:
        what = f"{', '.join(changed)} differ from the last commit, as after `dvc exp run`"
        yield Finding("workspace", "note", what, "commit them, or go back: git restore . && dvc checkout")


def _no_repository(said: str) -> Finding:
    """Why git finds no repository, when it said this."""
    if not any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents)):
        remedy = "clone the project, or `git init` and commit; experiments need it"
        return Finding("git", "fault", "no repository here", remedy)
    words, *more = [line.strip() for line in said.splitlines() if line.strip()] or ["no working tree"]
    # It is damaged, or of another user, and then the last line is a command that helps.
    return Finding("git", "fault", words.removeprefix("fatal: "), more[-1] if more else "clone the project again")


def dvc() -> Iterator[Finding]:
    """Whether another process uses DVC here, and what ended experiments left behind."""
    if not Path(".dvc").is_dir():
        yield Finding("DVC", "fault", "not set up here", "run this in the folder that holds dvc.yaml")
        return
    held, dead = _locks()
    held += [pid for pid in _main_lock() if pid not in held]
    if held:
        yield Finding("DVC lock", "note", f"held by process {', '.join(map(str, held))}", "wait for it, or end it")
    elif dead:
        yield Finding(
            "DVC lock",
            "note",
            f"left by process {', '.join(map(str, dead))}, which has ended",
            "DVC removes it by itself",
        )
    else:
        yield Finding("DVC lock", "ok", "free")
    left = sorted(path.name for path in (TEMPORARY / "exps" / "standalone").glob("*") if path.is_dir())
    if left:
        yield Finding(
            "experiments",
            "note",
            f"{len(left)} unfinished in {TEMPORARY}/exps/standalone",
            "dvc exp clean, if none is running",
        )


def _locks() -> tuple[list[int], list[int]]:
    """Processes that hold files of DVC's: living ones, and dead ones."""
    holders: set[int] = set()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        for kinds in json.loads((TEMPORARY / "rwlock").read_text(encoding="utf-8")).values():
            for held in (kinds.get("read") or []) + ([kinds["write"]] if kinds.get("write") else []):
                holders.add(int(held["pid"]))
    living = sorted(pid for pid in holders if psutil.pid_exists(pid))
    return living, sorted(holders - set(living))


def _main_lock() -> list[int]:
    """The process that holds the lock of all of DVC, as `dvc add` and `dvc pull` do."""
    try:
        import fcntl

        with (TEMPORARY / "lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return [int(file.read().split()[0])]
    except (ImportError, OSError, ValueError, IndexError):  # Windows has no fcntl
        pass
    return []


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""

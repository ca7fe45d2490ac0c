"""What a run changed: parameters and metrics of the workspace beside those of the last commit."""

from typing import NamedTuple

from dvc.repo import Repo

PREVIOUS = "HEAD"


class Change(NamedTuple):
    file: str
    name: str  # dotted
    old: object  # None: not there
    new: object
    difference: float | None  # of two numbers


class Changes(NamedTuple):
    commit: str  # what is compared with, in words; empty: there is no commit
    params: list[Change]
    metrics: list[Change]


def since_last_commit() -> Changes:
    """What `dvc params diff HEAD` and `dvc metrics diff HEAD` say."""
    with Repo() as repo:
        if getattr(repo.scm, "no_commits", True):  # `dvc init --no-scm` has none either
            return Changes("", [], [])
        last = repo.scm.resolve_commit(PREVIOUS)
        summary = f"{last.hexsha[:7]}, {last.message.splitlines()[0] if last.message else ''}".rstrip(", ")
        return Changes(summary, *(_listed(part.diff(a_rev=PREVIOUS)) for part in (repo.params, repo.metrics)))


def _listed(found: dict) -> list[Change]:
    return [
        Change(file, name, change.get("old"), change.get("new"), change.get("diff"))
        for file, changes in sorted(found.get("diff", {}).items())
        for name, change in sorted(changes.items())
    ]

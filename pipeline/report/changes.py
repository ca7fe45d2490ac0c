"""What a run changed: parameters and metrics of the workspace against those of the last commit."""

from typing import Any, NamedTuple

from dvc.repo import Repo

PREVIOUS = "HEAD"


class Change(NamedTuple):
    file: str
    name: str  # dotted
    old: object  # None: absent
    new: object
    difference: float | None  # of two numbers


class Changes(NamedTuple):
    commit: str  # id and title of the last commit; empty: there is none
    params: list[Change]
    metrics: list[Change]


def since_last_commit() -> Changes:
    """The same as `dvc params diff HEAD` and `dvc metrics diff HEAD`."""
    with Repo() as repo:
        if getattr(repo.scm, "no_commits", True):  # also after `dvc init --no-scm`
            return Changes("", [], [])
        last = repo.scm.resolve_commit(PREVIOUS)
        summary = f"{last.hexsha[:7]}, {last.message.splitlines()[0] if last.message else ''}".rstrip(", ")
        return Changes(summary, *(_listed(part.diff(a_rev=PREVIOUS)) for part in (repo.params, repo.metrics)))


def _listed(differences: dict[str, Any]) -> list[Change]:
    return [
        Change(file, name, change.get("old"), change.get("new"), change.get("diff"))
        for file, changes in sorted(differences.get("diff", {}).items())
        for name, change in sorted(changes.items())
    ]

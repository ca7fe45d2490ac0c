"""What the UI shows of a run. Nothing here can end the run: errors of the server are logged, not raised."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from pipeline.common import dvc_repo, files

EPOCH = re.compile(r"^epoch +(\d+) +(.*)")
TRACKED = re.compile(r"^W&B: (?:offline run; upload it with: wandb sync )?(\S+)$")


@contextlib.contextmanager
def optional(what: str) -> Iterator[None]:
    """Log an exception of the block instead of raising it."""
    try:
        yield
    except Exception as error:  # whatever the client raises
        get_run_logger().warning(f"{what} not shown: {type(error).__name__}: {error}")


class Progress:
    """Progress of a stage that prints lines `epoch N  ...`, as an artifact; nothing for other stages."""

    def __init__(self, stage: str, epochs: int):
        self._stage, self._epochs = stage, epochs
        self._key = key(f"progress {stage}")
        self._artifact: UUID | None = None

    def read(self, line: str) -> None:
        if match := EPOCH.match(line):
            self._show(100 * min(int(match[1]) / max(self._epochs, 1), 1), match[2])
        elif (match := TRACKED.match(line)) and ("/" in match[1]):
            with optional("W&B run"):
                create_markdown_artifact(f"W&B run: `{match[1]}`", key=key(f"wandb {self._stage}"))

    def close(self) -> None:
        if self._artifact:
            self._show(100.0, "")

    def _show(self, percent: float, headline: str) -> None:
        # Without retries, which can take minutes each: the next line shows the progress again.
        with optional("progress"), temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            if self._artifact is None:
                description = f"{self._stage}: of {self._epochs} epochs"
                created = create_progress_artifact(percent, key=self._key, description=description)
                assert isinstance(created, UUID), "called outside of asynchronous code"
                self._artifact = created
            elif headline:
                update_progress_artifact(
                    self._artifact, percent, description=f"{self._stage}, of {self._epochs} epochs: {headline}"
                )
            else:
                update_progress_artifact(self._artifact, percent)


def show_results(run: UUID, name: str, revision: str | None) -> str:
    """Show metrics of the workspace or of an experiment against those of the last commit, and links; return the SNR in words.

    Args:
        run: the flow run, whose name and tags get the SNR.
        revision: git reference of the experiment; None: the workspace.
    """
    measured, baseline = dvc_repo.metrics(revision), dvc_repo.metrics("HEAD")
    paths = sorted(measured, key=lambda path: not path.endswith("evaluate.json"))  # the most important metrics first
    rows = [
        {"file": path, "metric": metric, "baseline": before, "this run": value, "change": _change(before, value)}
        for path in paths
        for metric, value in measured[path].items()
        for before in [baseline.get(path, {}).get(metric)]
    ]
    snr = dvc_repo.headline(measured)
    summary = ", ".join(f"{label} {value:.2f} dB" for label, value in snr.items())
    with optional("results"):
        create_table_artifact(rows, key="metrics", description=f"# {name}: {summary}\nbaseline: the last commit")
        create_markdown_artifact(_links(name, revision), key="links")
    with optional("name"), get_client(sync_client=True) as client:
        best = f"{name} {max(snr.values()):.2f} dB" if snr else name
        tags = {*client.read_flow_run(run).tags, *(f"{label} {value:.2f} dB" for label, value in snr.items())}
        client.update_flow_run(run, name=best, tags=sorted(tags))
    return summary


def _change(before: float | None, value: float) -> float | None:
    return None if before is None else float(f"{value - before:.4g}")


def show_table(rows: Sequence[Mapping[str, object]], name: str, description: str) -> None:
    with optional(name):
        create_table_artifact([dict(row) for row in rows], key=key(name), description=description)


def key(text: str) -> str:
    """A text as an artifact key: lower-case letters, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


def _links(name: str, revision: str | None) -> str:
    root = files.repository()
    if revision:
        return (
            f"# DVC experiment `{name}`\n\nThe workspace is unchanged. `dvc exp show` lists it, `dvc exp apply {name}` "
            f"applies it here, `dvc metrics diff HEAD {name}` and `dvc plots diff HEAD {name}` compare it."
        )
    folders = [folder for folder in (root / "report", root / files.EXPORT) if folder.exists()]
    lines = [f"- [{folder.name}](file://{folder})" for folder in folders]
    pages = [f"- [{page.relative_to(root)}](file://{page})" for page in (root / files.EXPORT).glob("*.md")]
    return "\n".join(["# In the workspace", "", *lines, *pages, f"- curves: `dvc plots show` in {root}"])

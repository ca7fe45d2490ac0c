"""What the UI shows of a run. None of it can end the run: a server that is away is logged, not raised."""

import contextlib
import re
from collections.abc import Iterator
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client

from pipeline import files
from pipeline.flows import graph

EPOCH = re.compile(r"^epoch +(\d+) +(.*)")
TRACKED = re.compile(r"^W&B: (?:offline run; upload it with: wandb sync )?(\S+)$")


@contextlib.contextmanager
def optional(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever the client raises
        get_run_logger().warning(f"{what} not shown: {type(error).__name__}: {error}")


class Progress:
    """Progress of a stage that prints `epoch N  ...` lines, as an artifact; nothing for other stages."""

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

    def _show(self, percent: float, said: str) -> None:
        with optional("progress"):
            if self._artifact is None:
                description = f"{self._stage}: of {self._epochs} epochs"
                self._artifact = create_progress_artifact(percent, key=self._key, description=description)
            elif said:
                update_progress_artifact(
                    self._artifact, percent, description=f"{self._stage}, of {self._epochs} epochs: {said}"
                )
            else:
                update_progress_artifact(self._artifact, percent)


def show_results(run: UUID, name: str, revision: str | None) -> str:
    """Metrics of the workspace or of an experiment beside those of the last commit, and links; returns the SNR in words.

    Args:
        run: gets the SNR into its name and tags.
        revision: git reference of the experiment; None: the workspace.
    """
    measured, baseline = graph.metrics(revision), graph.metrics("HEAD")
    rows = [
        {"file": path, "metric": metric, "baseline": baseline.get(path, {}).get(metric), "this run": value}
        for path, values in measured.items()
        for metric, value in values.items()
    ]
    for row in rows:
        row["change"] = None if row["baseline"] is None else float(f"{row['this run'] - row['baseline']:.4g}")
    rows.sort(key=lambda row: not row["file"].endswith("evaluate.json"))  # what a run is judged by comes first
    reached = graph.headline(measured)
    said = ", ".join(f"{label} {value:.2f} dB" for label, value in reached.items())
    with optional("results"):
        create_table_artifact(rows, key="metrics", description=f"# {name}: {said}\nbaseline: the last commit")
        create_markdown_artifact(_links(name, revision), key="links")
    with optional("name"), get_client(sync_client=True) as client:
        best = f"{name} {max(reached.values()):.2f} dB" if reached else name
        tags = {*client.read_flow_run(run).tags, *(f"{label} {value:.2f} dB" for label, value in reached.items())}
        client.update_flow_run(run, name=best, tags=sorted(tags))
    return said


def show_table(rows: list[dict], name: str, description: str) -> None:
    with optional(name):
        create_table_artifact(rows, key=key(name), description=description)


def key(text: str) -> str:
    """Text as an artifact's key: lower case letters, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")


def _links(name: str, revision: str | None) -> str:
    root = files.repository()
    if revision:
        return (
            f"# DVC experiment `{name}`\n\nThe workspace is as it was. `dvc exp show` lists it, `dvc exp apply {name}` "
            f"brings it here, `dvc metrics diff HEAD {name}` and `dvc plots diff HEAD {name}` compare it."
        )
    folders = [folder for folder in (root / "report", root / files.EXPORT) if folder.exists()]
    lines = [f"- [{folder.name}](file://{folder})" for folder in folders]
    pages = [f"- [{page.relative_to(root)}](file://{page})" for page in (root / files.EXPORT).glob("*.md")]
    return "\n".join(["# In the workspace", "", *lines, *pages, f"- curves: `dvc plots show` in {root}"])

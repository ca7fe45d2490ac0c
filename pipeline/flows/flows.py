"""The flows: one run of the pipeline, a list of experiments, and a check for new recordings."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated
from uuid import UUID

from prefect import State, flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.common import dvc_repo, files
from pipeline.common import params as parameters
from pipeline.common.sections import Params
from pipeline.common.yaml12 import parse
from pipeline.flows import artifacts, stages, workspace
from pipeline.flows.workspace import IfBusy

Value = str | int | float | bool | list[int | float] | None


def _allowed(overrides: dict[str, Value]) -> dict[str, Value]:
    parameters.load_with(overrides)
    return overrides


# The schema lists the keys, so that a server refuses unknown ones before it creates a run; the run checks the values.
Overrides = Annotated[
    dict[str, Value],
    AfterValidator(_allowed),
    Field(json_schema_extra={"propertyNames": {"enum": parameters.keys()}}),
]


class Experiment(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")
    overrides: Overrides


@flow(flow_run_name=lambda: flow_run.parameters.get("name") or "pipeline", validate_parameters=True)
def train_codec(
    overrides: Overrides = {},  # noqa: B006 (never modified; the UI shows it as the default)
    name: str | None = None,
    corpus: str | None = None,
    fresh: bool = False,
    if_busy: IfBusy = "wait",
    retries: int = 2,
    retry_seconds: float = 10,
) -> State:
    """Run the pipeline: in the workspace or, with overrides, as a DVC experiment that leaves the workspace unchanged.

    Args:
        overrides: values for keys of params.yaml, such as {"loss.mse_weight": 0.5}.
        name: of the run and of the experiment.
        corpus: folder of recordings; short for the override data.root.
        fresh: train from scratch, ignoring the checkpoints and results of earlier runs.
        if_busy: what to do when another run is using the workspace.
        retries: how often a failed stage is tried again; training continues from its checkpoint.
        retry_seconds: delay before the first retry, doubled each time.
    """
    log, run = get_run_logger(), UUID(str(flow_run.id))
    overrides = dict(overrides) | ({"data.root": corpus} if corpus else {})
    with ExitStack() as stack:
        stack.enter_context(workspace.recorded(run))
        _sweep(log)
        try:
            settings = parameters.load_with(overrides)
            stack.enter_context(workspace.occupied(flow_run.name, if_busy, log.info))
            ended_well = dvc_repo.begun()
            delays = [retry_seconds * 2**number for number in range(retries)]
            title = name or (f"run-{run.hex[-8:]}" if overrides else "pipeline")
            failed = (
                _experiment(title, overrides, settings, fresh, delays)
                if overrides
                else _workspace(settings, fresh, delays)
            )
        except (workspace.WorkspaceBusy, parameters.ParamsError, dvc_repo.DvcError) as error:
            failed = Failed(message=str(error))
        if failed:
            log.error(failed.message)
            return failed
        ended_well()
        summary = artifacts.show_results(run, title, dvc_repo.experiment(title) if overrides else None)
    return Completed(message=summary or "done")


@flow(flow_run_name="experiments")
def run_experiments(file: str = "experiments.yaml", if_busy: IfBusy = "wait") -> State:
    """Run a YAML list of {name, overrides} in sequence; experiments that are finished on this commit are not run again."""
    log = get_run_logger()
    try:
        experiments = read_experiments(Path(file))
    except ValueError as error:
        return Failed(message=str(error))
    rows: list[dict[str, object]] = [{"experiment": "baseline", **dvc_repo.headline(dvc_repo.metrics("HEAD"))}]
    failed = []
    with workspace.recorded(UUID(str(flow_run.id))):
        for experiment in experiments:
            row: dict[str, object] = {"experiment": experiment.name, "overrides": json.dumps(experiment.overrides)}
            try:
                reference = dvc_repo.finished(experiment.name, experiment.overrides)
            except dvc_repo.DvcError as error:
                log.error(str(error))
                failed.append(experiment.name)
                rows.append(row | {"failed": str(error)})
                continue
            if reference:
                log.info(f"{experiment.name} is finished; to run it again, first `dvc exp remove {experiment.name}`")
            else:
                state = train_codec(experiment.overrides, experiment.name, if_busy=if_busy, return_state=True)
                if not state.is_completed():
                    failed.append(experiment.name)
                    row["failed"] = state.message
            if reference := dvc_repo.experiment(experiment.name):
                row |= dvc_repo.headline(dvc_repo.metrics(reference))
            rows.append(row)
        columns: dict[str, object] = {column: None for row in rows for column in row}
        table = [columns | row for row in rows]
        artifacts.show_table(table, "comparison", "# Experiments\nbaseline: the last commit")
    if failed:
        return Failed(message=f"{len(failed)} of {len(experiments)} failed: {', '.join(failed)}")
    return Completed(message="; ".join(_row_in_words(row) for row in rows))


@flow(flow_run_name="watch")
def watch_data(settled_seconds: float = 10) -> State:
    """Run the pipeline if the recordings in data.root have changed since the last run that this flow started.

    Args:
        settled_seconds: a file that changed more recently may still be incomplete, so the next check deals with it.
    """
    root = files.resolve_root(parameters.load().data.root)
    record = files.work_folder("flows.watch") / "listing.json"
    try:
        now = workspace.listing(root)
    except OSError as error:
        return Failed(
            message=f"{error.filename}: {error.strerror}; make it readable, or set data.root to another folder"
        )
    before = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    if now == before:
        return Completed(message=f"nothing new in {root}", name="Nothing new")
    if now and max(changed for _, changed in now.values()) / 1e9 > time.time() - settled_seconds:
        return Completed(message=f"recordings are still arriving in {root}", name="Not yet")
    new = sum(now[path] != before.get(path) for path in now)
    get_run_logger().info(f"{new} new or changed recordings in {root}")
    state = train_codec(name="new-recordings", return_state=True)
    if not state.is_completed():
        return Failed(message=state.message)
    files.write_json(record, now)
    return Completed(message=f"{new} new or changed recordings: {state.message}")


def read_experiments(path: Path) -> list[Experiment]:
    """Read and check a list of experiments.

    Raises:
        ValueError: the file cannot be read, or an entry has a wrong name, key or value.
    """
    try:
        document = parse(path.read_text(encoding="utf-8"), path)
        experiments = TypeAdapter(list[Experiment]).validate_python(document)
    except OSError as error:
        raise ValueError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"{path}: {faults}; an entry is `- name: NAME` with `overrides: {{key: value}}`") from None
    names = [experiment.name for experiment in experiments]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: names must differ, got {', '.join(names)}")
    return experiments


def _workspace(settings: Params, fresh: bool, delays: list[float]) -> State | None:
    """Run all stages in order; returns the state of the one that failed."""
    names, changed = dvc_repo.stages()
    lock = Path("dvc.lock")
    before = lock.read_bytes() if lock.exists() else b""
    same = True  # until a stage writes something new, DVC's status of the later ones remains valid
    for stage in names:
        force = fresh and stage.startswith("train")
        if same and not force and stage not in changed:
            stages.up_to_date.with_options(name=stage, task_run_name=stage)(stage)
            continue
        task = stages.run_stage.with_options(
            name=stage,
            task_run_name=stage,
            retries=len(delays),
            retry_delay_seconds=delays or 0,
            retry_condition_fn=stages.worth_a_retry,
        )
        state = task(stage, force, _epochs(stage, settings), return_state=True)
        if not state.is_completed():
            return Failed(message=state.message)
        dvc_repo.keep_lock()
        same = same and lock.exists() and lock.read_bytes() == before
    return None


def _experiment(
    name: str, overrides: dict[str, Value], settings: Params, fresh: bool, delays: list[float]
) -> State | None:
    """Run all stages with `dvc exp run --temp`, one task for each; returns the state of the one that failed."""
    dvc_repo.refuse_shallow()
    if dvc_repo.experiment(name):
        return Failed(message=f"experiment {name} exists; choose another name, or first run `dvc exp remove {name}`")
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", name, *(["--force"] if fresh else [])]
    for key, value in overrides.items():
        command += ["--set-param", f"{key}={json.dumps(value, ensure_ascii=False)}"]
    for attempt, delay in enumerate([*delays, None]):
        with stages.started(command, fresh=fresh and attempt == 0) as process:
            failed = _follow(stages.Experiment(process), settings)
        if failed is None and not dvc_repo.experiment(name):
            return Failed(message=f"DVC ended well, but kept no experiment {name}; its last lines are in the log")
        if failed is None or delay is None or not stages.worth_a_retry(None, None, failed):
            return failed
        get_run_logger().warning(f"{failed.message}\nnext attempt in {delay:.0f} s; finished stages are kept")
        time.sleep(delay)
    return None


def _follow(running: stages.Experiment, settings: Params) -> State | None:
    while stage := running.next_stage:
        task = stages.follow_stage.with_options(name=stage, task_run_name=stage)
        state = task(stage, running, _epochs(stage, settings), return_state=True)
        if not state.is_completed():
            return Failed(message=state.message)
    return None if running.succeeded() else stages.failure("dvc", running.last)


def _epochs(stage: str, settings: Params) -> int:
    """The epochs of a training stage `train@MODEL`; those of the token codec for other stages."""
    models = {"train@waveform": "waveform", "train_enhancer": "enhancer"}
    return settings.loop(models.get(stage, "tokens")).epochs


def _sweep(log: logging.Logger | logging.LoggerAdapter) -> None:
    with artifacts.optional("sweep"):
        for name in workspace.sweep():
            log.warning(f"run {name} is now marked as crashed: its process had died")


def _row_in_words(row: Mapping[str, object]) -> str:
    return f"{row['experiment']} " + ", ".join(f"{value:.2f} dB" for value in row.values() if isinstance(value, float))

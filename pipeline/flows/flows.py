"""The flows: one run of the pipeline, a list of experiments, and a look for new recordings."""

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated
from uuid import UUID

import yaml
from prefect import State, flow, get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline import files
from pipeline import params as parameters
from pipeline.flows import artifacts, graph, stages, workspace
from pipeline.flows.workspace import IfBusy
from pipeline.sections import Params

Value = str | int | float | bool | list[int | float] | None


def _allowed(overrides: dict[str, Value]) -> dict[str, Value]:
    parameters.load_with(overrides)
    return overrides


# The schema names the keys, so that a server refuses a wrong one before it makes a run; the values are checked in the run.
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
    overrides: Overrides = {},  # noqa: B006 (never changed; the UI shows it as the default)
    name: str | None = None,
    corpus: str | None = None,
    fresh: bool = False,
    if_busy: IfBusy = "wait",
    retries: int = 2,
    retry_seconds: float = 10,
) -> State:
    """Run the pipeline: in the workspace, or with overrides as a DVC experiment that leaves the workspace as it was.

    Args:
        overrides: other values for keys of params.yaml, as {"loss.mse_weight": 0.5}.
        name: of the run, and of the experiment.
        corpus: folder of recordings; short for the override data.root.
        fresh: train from the start, without the checkpoint or result of an earlier run.
        if_busy: wait, or be refused, when another run works in this workspace.
        retries: of a failed stage; training goes on from its checkpoint.
        retry_seconds: before the first retry; doubled each time.
    """
    log, run = get_run_logger(), UUID(str(flow_run.id))
    overrides = dict(overrides) | ({"data.root": corpus} if corpus else {})
    with ExitStack() as held:
        held.enter_context(workspace.recorded(run))
        _sweep(log)
        try:
            settings = parameters.load_with(overrides)
            held.enter_context(workspace.occupied(flow_run.name, if_busy, log.info))
            ended_well = graph.begun()
            delays = [retry_seconds * 2**number for number in range(retries)]
            title = name or (f"run-{run.hex[-8:]}" if overrides else "pipeline")
            failed = (
                _experiment(title, overrides, settings, fresh, delays)
                if overrides
                else _workspace(settings, fresh, delays)
            )
        except (workspace.WorkspaceBusy, parameters.ParamsError, graph.DvcError) as error:
            failed = Failed(message=str(error))
        if failed:
            log.error(failed.message)
            return failed
        ended_well()
        reached = artifacts.show_results(run, title, graph.experiment(title) if overrides else None)
    return Completed(message=reached or "done")


@flow(flow_run_name="experiments")
def run_experiments(file: str = "experiments.yaml", if_busy: IfBusy = "wait") -> State:
    """Run a YAML list of {name, overrides} one after the other; those finished on this commit are not run again."""
    log = get_run_logger()
    try:
        experiments = read_experiments(Path(file))
    except ValueError as error:
        return Failed(message=str(error))
    rows = [{"experiment": "baseline"} | graph.headline(graph.metrics("HEAD"))]
    failed = []
    with workspace.recorded(UUID(str(flow_run.id))):
        for experiment in experiments:
            row = {"experiment": experiment.name, "overrides": json.dumps(experiment.overrides)}
            if graph.experiment(experiment.name):
                log.info(f"{experiment.name} is finished; `dvc exp remove {experiment.name}` lets it run again")
            else:
                state = train_codec(experiment.overrides, experiment.name, if_busy=if_busy, return_state=True)
                if not state.is_completed():
                    failed.append(experiment.name)
                    row["failed"] = state.message
            if reference := graph.experiment(experiment.name):
                row |= graph.headline(graph.metrics(reference))
            rows.append(row)
        columns = {column: None for row in rows for column in row}
        table = [columns | row for row in rows]
        artifacts.show_table(table, "comparison", "# Experiments\nbaseline: the last commit")
    if failed:
        return Failed(message=f"{len(failed)} of {len(experiments)} failed: {', '.join(failed)}")
    return Completed(message="; ".join(_row_in_words(row) for row in rows))


@flow(flow_run_name="watch")
def watch_data(settled_seconds: float = 10) -> State:
    """Run the pipeline if data.root holds other recordings than after the last run that this flow started.

    Args:
        settled_seconds: files that changed more recently may still be on their way; they are left to the next look.
    """
    root = files.resolve_root(parameters.load().data.root)
    seen = files.work_folder("flows.watch") / "listing.json"
    found = workspace.listing(root)
    before = json.loads(seen.read_text(encoding="utf-8")) if seen.exists() else {}
    if found == before:
        return Completed(message=f"nothing new in {root}", name="Nothing new")
    if found and max(changed for _, changed in found.values()) / 1e9 > time.time() - settled_seconds:
        return Completed(message=f"recordings are still arriving in {root}", name="Not yet")
    new = sum(found[path] != before.get(path) for path in found)
    get_run_logger().info(f"{new} new or changed recordings in {root}")
    state = train_codec(name="new-recordings", return_state=True)
    if not state.is_completed():
        return Failed(message=state.message)
    files.write_json(seen, found)
    return Completed(message=f"{new} new or changed recordings: {state.message}")


def read_experiments(path: Path) -> list[Experiment]:
    """Read and check a list of experiments.

    Raises:
        ValueError: the file cannot be read, or an entry has a wrong name, key or value.
    """
    try:
        given = parameters.parse(path.read_text(encoding="utf-8"))
        experiments = TypeAdapter(list[Experiment]).validate_python(given)
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"{path}: {faults}; an entry is `- name: NAME` with `overrides: {{key: value}}`") from None
    names = [experiment.name for experiment in experiments]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: names must differ, got {', '.join(names)}")
    return experiments


def _workspace(settings: Params, fresh: bool, delays: list[float]) -> State | None:
    """Run stage after stage; returns the state of the one that failed."""
    names, changed = graph.stages()
    lock = Path("dvc.lock")
    before = lock.read_bytes() if lock.exists() else b""
    same = True  # as long as no stage has written anything new, DVC's verdict on the later ones stands
    for stage in names:
        force = fresh and stage.startswith("train")
        if same and not force and stage not in changed:
            stages.up_to_date.with_options(name=stage, task_run_name=stage)(stage)
            continue
        task = stages.run_stage.with_options(
            name=stage,
            task_run_name=stage,
            retries=len(delays),
            retry_delay_seconds=delays or None,
            retry_condition_fn=stages.worth_a_retry,
        )
        state = task(stage, force, _epochs(stage, settings), return_state=True)
        if not state.is_completed():
            return Failed(message=state.message)
        graph.keep_lock()
        same = same and lock.exists() and lock.read_bytes() == before
    return None


def _experiment(
    name: str, overrides: dict[str, Value], settings: Params, fresh: bool, delays: list[float]
) -> State | None:
    """Run all stages by `dvc exp run --temp`, a task for each; returns the state of the one that failed."""
    if graph.experiment(name):
        return Failed(message=f"experiment {name} exists; take another name, or `dvc exp remove {name}` first")
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", name, *(["--force"] if fresh else [])]
    for key, value in overrides.items():
        command += ["--set-param", f"{key}={json.dumps(value, ensure_ascii=False)}"]
    for attempt, delay in enumerate([*delays, None]):
        with stages.started(command, fresh=fresh and attempt == 0) as process:
            failed = _follow(stages.Experiment(process), settings)
        if failed is None or delay is None or not stages.worth_a_retry(None, None, failed):
            return failed
        get_run_logger().warning(f"{failed.message}\nagain in {delay:.0f} s, from what is finished")
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
    """Epochs of a training stage; `train@NAME` may have its own settings in the section NAME."""
    return (
        getattr(settings, stage.rpartition("@")[2], settings).train.epochs
        if stage.startswith("train@")
        else settings.train.epochs
    )


def _sweep(log) -> None:
    with artifacts.optional("sweep"):
        for name in workspace.sweep():
            log.warning(f"run {name} was marked as crashed: its process had died")


def _row_in_words(row: dict) -> str:
    return f"{row['experiment']} " + ", ".join(f"{value:.2f} dB" for value in row.values() if isinstance(value, float))

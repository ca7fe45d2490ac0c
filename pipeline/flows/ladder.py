"""The fix ladder as a flow: one task for each rung and seed, and its table as an artifact."""

from pathlib import Path
from uuid import UUID

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from pipeline.flows import artifacts, workspace
from pipeline.ladder import page, plan, runs


@task(cache_policy=NO_CACHE, retries=1, retry_delay_seconds=10)
def rung(run: plan.Run, seed: int) -> runs.Result:
    """Run one experiment, or read back a finished one."""
    return runs.perform(run, seed)


@flow(flow_run_name="ladder", task_runner=ThreadPoolTaskRunner(max_workers=2))  # type: ignore[arg-type]
def climb_ladder(file: str = "fixes.yaml") -> State:
    """Run every rung of a ladder with every seed, two at a time; rungs that are finished on this commit are not run again."""
    try:
        steps = plan.read(Path(file))
    except ValueError as error:
        return Failed(message=str(error))
    with workspace.recorded(UUID(str(flow_run.id))):
        pending = [
            (run, [rung.with_options(task_run_name=run.experiment(seed)).submit(run, seed) for seed in steps.seeds])
            for run in [*plan.ladder(steps), *plan.without(steps)]
        ]
        states = {run.name: [future.wait() or future.state for future in futures] for run, futures in pending}
    failed = [name for name, ended in states.items() if not all(state.is_completed() for state in ended)]
    done = [(run, [future.result() for future in futures]) for run, futures in pending if run.name not in failed]
    rows = [dict(zip(page.COLUMNS, page.row(run, results), strict=True)) for run, results in done]
    artifacts.show_table(rows, "ladder", "# The fix ladder\n`python -m pipeline.ladder` writes it into docs/")
    if failed:
        return Failed(message=f"{len(failed)} of {len(pending)} rungs failed: {', '.join(failed)}")
    return Completed(message=f"{len(pending)} rungs, {len(steps.seeds)} seeds each")

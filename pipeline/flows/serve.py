"""A Prefect server, a worker and the deployments on this machine, reachable from this machine only."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

from pipeline.common import files
from pipeline.common.processes import own_path

POOL = "telucodec"
START_SECONDS = 180
DEMO_RUN = {"train.epochs": 3, "train.steps_per_epoch": 10, "quantizer.codebook_size": 64, "model.channels": 32}


def environment(port: int) -> dict[str, str]:
    """The environment in which Prefect commands and the UI use the server at `port`."""
    return os.environ | {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),  # with --port alone the UI would use the default port
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "8",  # a run survives a restart of the server
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "10",  # so that a new schedule starts soon
        "PREFECT_WORKER_QUERY_SECONDS": "5",
        "DO_NOT_TRACK": "1",
        "TELUCODEC_ROOT": str(files.repository()),
        "PATH": own_path(),
    }


@contextlib.contextmanager
def server(port: int) -> Iterator[subprocess.Popen]:
    """A running server; it ends after the block."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            sys.exit(
                f"error: port {port} is in use; is a server running already? Try another: make serve PORT={port + 1}"
            )
    with _ended(_prefect(port, "server", "start")) as process:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("error: the Prefect server did not start; its last lines are above")
            time.sleep(0.3)
        yield process


def deploy(port: int, alone: bool) -> None:
    """Create the work pool and the deployments of prefect.yaml, and sweep dead runs, whose slots new runs need.

    Args:
        alone: no worker runs, so that pending runs are dead, too.
    """
    for command in (
        ["work-pool", "create", POOL, "--type", "process", "--overwrite"],
        ["--no-prompt", "deploy", "--all"],
    ):
        done = subprocess.run([*_command(), *command], env=environment(port), capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"error: prefect {' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    pending = ["--pending", POOL] if alone else []
    subprocess.run([sys.executable, "-m", "pipeline.flows", "sweep", *pending], env=environment(port), check=True)


def worker(port: int) -> contextlib.AbstractContextManager[subprocess.Popen]:
    """A worker for the pool; it ends after the block and passes the signal on to its runs."""
    return _ended(_prefect(port, "worker", "start", "--pool", POOL))


def serve(port: int) -> None:
    """Run a server, the deployments and a worker until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, _interrupt)
    with server(port):
        deploy(port, alone=True)
        with worker(port) as working:
            print(f"\nPrefect UI: http://127.0.0.1:{port}   (Ctrl-C ends server and worker)\n", flush=True)
            working.wait()
    sys.exit("error: the worker ended; its last lines are above")


def demo(port: int) -> None:
    """Show a scheduled run: one every 30 s until the first has ended; then remove the schedule."""
    os.environ.update(environment(port))
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.schedules import IntervalSchedule

    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.ExitStack() as stack:
        alone = not _answers(port)
        if alone:
            stack.enter_context(server(port))
        deploy(port, alone)
        stack.enter_context(worker(port))
        client = stack.enter_context(get_client(sync_client=True))
        deployment = client.read_deployment_by_name("train-codec/on-demand").id
        parameters = {"overrides": DEMO_RUN}
        only = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        earlier = {run.id for run in client.read_flow_runs(deployment_filter=only)}
        order = DeploymentScheduleCreate(
            schedule=IntervalSchedule(interval=timedelta(seconds=30)), parameters=parameters
        )
        (schedule,) = client.create_deployment_schedules(deployment, [order])
        stack.callback(client.delete_deployment_schedule, deployment, schedule.id)
        began, status = time.monotonic(), ""
        print(f"one run every 30 s; watch them at http://127.0.0.1:{port}/deployments/deployment/{deployment}")
        while True:
            runs = [run for run in client.read_flow_runs(deployment_filter=only) if run.id not in earlier]
            first = min(runs, key=lambda run: str(run.expected_start_time), default=None)
            if first and first.state and status != (status := f"{first.name}: {first.state_name}"):
                print(f"{time.monotonic() - began:5.0f} s  {status}  {first.state.message or ''}", flush=True)
            if first and first.state and first.state.is_final():
                return
            time.sleep(0.5)


def _prefect(port: int, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([*_command(), *arguments], env=environment(port), start_new_session=True)


def _command() -> list[str]:
    return [sys.executable, "-m", "prefect"]


@contextlib.contextmanager
def _ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """End a process after the block: first with SIGTERM, which Prefect passes on to its child processes, then by force."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer,
    ):
        return answer.status == 200
    return False


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt

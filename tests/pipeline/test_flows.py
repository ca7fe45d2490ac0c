"""The flows against a real server on loopback, with stand-in stages: what is shown, and every fault."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml

from pipeline.flows import serve
from tests import processes
from tests.pipeline.conftest import ROOT, change_params
from tests.pipeline.project import Project, wait_for


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a server of its own, of which every process here knows."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    impatient = {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.3",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "PREFECT_SERVER_UI_ENABLED": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (serve.environment(port) | impatient).items():
            if name.startswith(("PREFECT_", "DO_NOT")):
                patch.setenv(name, value)
        yield port


@pytest.fixture(scope="module")
def server(port):
    with serve.server(port) as process:
        yield process


@pytest.fixture(scope="module")
def client(server, port):
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    # Where an earlier test has imported Prefect, it knows the environment of that time only.
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}),
        get_client(sync_client=True) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def project(tmp_path_factory, server):
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def undisturbed(project):
    """Metrics of a run that nothing happened to."""
    command = [sys.executable, "-m", "pipeline.flows"]
    subprocess.run(command, cwd=project.folder, env=project.environment, check=True, timeout=120)
    return project.metrics()


@pytest.fixture(scope="module")
def quarter(project, undisturbed):
    """A finished experiment; its name, and dvc.lock as it was before."""
    lock = (project.folder / "dvc.lock").read_bytes()
    project.run("train", "-S", "loss.mse_weight=0.25", "--name", "quarter")
    return "quarter", lock


@pytest.fixture
def fresh(project, undisturbed):
    """The project with training not done."""
    project.again()
    yield project
    (project.folder / "trouble").unlink(missing_ok=True)
    assert not project.processes(), "something outlived its run"


def last_run(client):
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterStartTime
    from prefect.client.schemas.sorting import FlowRunSort

    started = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))
    return client.read_flow_runs(flow_run_filter=started, sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def test_a_run_shows_a_bar_for_each_stage_progress_metrics_and_its_snr(client, project, undisturbed):
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    run = last_run(client)
    snr = f"{undisturbed['tokens_1']['snr']:.2f} dB"
    assert run.name == f"pipeline {snr}" and f"snr {snr}" in run.tags and run.state.is_completed()
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    tasks = wait_for(lambda: (found := client.read_task_runs(flow_run_filter=only)) and len(found) == 2 and found)
    assert [task.name for task in sorted(tasks, key=lambda task: task.start_time)] == ["data", "train"]
    artifacts = {artifact.key: artifact for artifact in client.read_artifacts(flow_run_filter=only)}
    assert artifacts["progress-train"].data == 100
    assert json.loads(artifacts["metrics"].data)[0]["this run"] == undisturbed["tokens_1"]["snr"]


def test_overrides_make_an_experiment_that_leaves_the_workspace_as_it_was(client, project, undisturbed, quarter):
    name, lock = quarter
    assert project.metrics() == undisturbed and (project.folder / "dvc.lock").read_bytes() == lock
    run = last_run(client)
    assert run.name.startswith(f"{name} ") and f"{undisturbed['tokens_1']['snr']:.2f}" not in run.name
    assert "exists" in project.run("train", "-S", "loss.mse_weight=0.25", "--name", name, code=1)


def test_a_killed_list_of_experiments_leaves_the_workspace_as_it_was_and_goes_on_where_it_stopped(fresh, quarter):
    def workspace():
        return subprocess.run(["git", "status", "--porcelain"], cwd=fresh.folder, capture_output=True, text=True).stdout

    experiments = [
        {"name": quarter[0], "overrides": {"loss.mse_weight": 0.25}},
        {"name": "killed", "overrides": {"loss.mse_weight": 0.7}},
    ]
    (fresh.folder / "list.yaml").write_text(yaml.safe_dump(experiments))
    before = workspace()
    hold = fresh.trouble((3, "hold"))
    flow = fresh.start("experiments", "list.yaml")
    wait_for(lambda: fresh.epoch(0.7) == 3)
    flow.kill()
    wait_for(lambda: not fresh.processes())
    hold.unlink()
    assert workspace() == before
    output = fresh.run("experiments", "list.yaml")
    assert "quarter is finished" in output and "killed is finished" not in output
    assert "continuing after epoch 3" in output


def test_a_list_whose_experiment_has_other_values_now_is_refused(project, quarter):
    path = project.folder / "list.yaml"
    path.write_text(yaml.safe_dump([{"name": quarter[0], "overrides": {"loss.mse_weight": 0.3}}]))
    output = project.run("experiments", path.name, code=1)
    assert "experiment quarter is there with other values of loss.mse_weight; choose another name" in output
    assert "1 of 1 failed: quarter" in output


@pytest.mark.parametrize(
    "override, said",
    [("loss.mse_wieght=1", "did you mean loss.mse_weight"), ("loss.mse_weight=-1", "greater than or equal to 0")],
)
def test_a_wrong_override_is_refused_with_what_is_allowed(project, override, said):
    assert said in project.run("train", "-S", override, code=1)


def test_new_recordings_start_a_run(project, undisturbed):
    recordings = project.folder / "recordings"
    recordings.mkdir()
    (recordings / "a.wav").write_bytes(b"a")
    os.utime(recordings / "a.wav", (0, 0))
    change_params(project.folder, {"data.root": "recordings"})
    assert "1 new or changed recordings" in project.run("watch")
    assert "nothing new" in project.run("watch")
    shutil.rmtree(recordings)
    assert "error: " + str(recordings) + ": No such file or directory; make it readable" in project.run("watch", code=1)
    change_params(project.folder, {"data.root": "data/sample"})


def test_a_stage_that_crashes_or_is_killed_or_loses_its_guard_is_tried_again_from_its_checkpoint(fresh, undisturbed):
    fresh.trouble((3, "hold"), (4, "hold"), (6, "crash"))
    flow = fresh.start("train", "--retries", "3", "--retry-seconds", "0.1")
    wait_for(lambda: fresh.epoch() == 3)
    fresh.stage().kill()
    wait_for(lambda: fresh.epoch() == 4)
    processes.living(lambda process: processes.says(process, "guard.py"), among=fresh.stage().parents())[0].kill()
    output = flow.output()
    assert all(f"continuing after epoch {epoch}" in output for epoch in (3, 4, 6))
    assert fresh.metrics() == undisturbed


def test_after_a_failure_that_retrying_cannot_mend_and_a_full_disk_a_run_goes_on(client, fresh, undisturbed):
    fresh.trouble((3, "no codebook is used; look at quantizer.init"), (5, "disk"))
    fresh.run(code=1)
    message = last_run(client).state.message
    assert message.startswith("train: error: no codebook is used; look at quantizer.init")
    assert "Traceback" not in message and "File " not in message
    output = fresh.run(code=1)
    message = last_run(client).state.message
    assert message.startswith(f"train: error: no space left in {fresh.folder}") and "Traceback" not in message
    assert "continuing after epoch 3" in output
    assert {path.name for path in (fresh.folder / "data").iterdir()} == {".gitignore", "numbers"}
    assert not (fresh.folder / "metrics" / "evaluate.json").exists()
    assert "continuing after epoch 8" in fresh.run()
    assert fresh.metrics() == undisturbed


def test_a_tracker_that_never_answers_changes_nothing(client, fresh, undisturbed):
    change_params(fresh.folder, {"tracking.wandb": "online"})
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        output = fresh.run(WANDB_BASE_URL=address, WANDB_API_KEY="0" * 40, HOME=str(fresh.folder.parent))
    change_params(fresh.folder, {"tracking.wandb": "disabled"})
    assert "W&B: not finished after 2 s" in output and fresh.metrics() == undisturbed
    assert last_run(client).state.is_completed()


def test_a_killed_flow_leaves_no_process_and_the_next_run_marks_it(client, fresh, undisturbed):
    hold = fresh.trouble((3, "hold"))
    flow = fresh.start()
    wait_for(lambda: fresh.epoch() == 3)
    run = last_run(client)
    flow.kill()
    wait_for(lambda: not fresh.processes())
    hold.unlink()
    (fresh.folder / "dvc.lock").write_text("schema: '2.0'\nstages:\n  da")  # DVC died while it wrote these
    (fresh.folder / ".dvc" / "tmp" / "rwlock").write_text("")
    assert client.read_flow_run(run.id).state.is_running()
    output = fresh.run()
    assert "continuing after epoch 3" in output and fresh.metrics() == undisturbed
    assert client.read_flow_run(run.id).state.is_crashed()


def test_a_second_run_waits_or_is_refused_and_a_shell_gets_a_plain_message(fresh, undisturbed):
    hold = fresh.trouble((3, "hold"))
    first = fresh.start()
    wait_for(lambda: fresh.epoch() == 3)
    assert "another run is using this workspace: pipeline" in fresh.run("train", "--if-busy", "refuse", code=1)
    second = fresh.start()
    shell = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=fresh.folder, env=fresh.environment, capture_output=True, text=True
    )
    assert shell.returncode != 0 and "Traceback" not in shell.stderr
    assert "is busy" in shell.stderr or "Unable to acquire lock" in shell.stderr
    wait_for(lambda: "waiting for it" in second.printed())
    hold.unlink()
    first.output()
    second.output()
    assert fresh.metrics() == undisturbed


def test_the_run_of_a_killed_worker_is_swept_and_a_cancelled_run_leaves_nothing_but_its_checkpoint(
    client, request, fresh, undisturbed
):
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.states import Cancelling, Pending

    prefect = [sys.executable, "-m", "prefect"]
    shutil.copy(ROOT / "prefect.yaml", fresh.folder)
    shutil.copytree(ROOT / "pipeline", fresh.folder / "pipeline")
    client.create_work_pool(WorkPoolCreate(name=serve.POOL, type="process"))
    deploy = [*prefect, "--no-prompt", "deploy", "--all"]
    subprocess.run(deploy, cwd=fresh.folder, env=fresh.environment, check=True, capture_output=True)
    deployment = client.read_deployment_by_name("train-codec/on-demand").id
    with pytest.raises(PrefectHTTPStatusError, match="mse_wieght"):
        client.create_flow_run_from_deployment(deployment, parameters={"overrides": {"loss.mse_wieght": 1}})

    waiting = client.create_flow_run_from_deployment(deployment)
    client.set_flow_run_state(waiting.id, Pending(), force=True)  # as a worker that takes it and dies
    assert waiting.name in fresh.run("sweep", "--pending", serve.POOL)
    assert client.read_flow_run(waiting.id).state.is_crashed()

    log = (fresh.folder.parent / "worker.log").open("a")
    request.addfinalizer(lambda: processes.end(fresh.processes()))  # where an assertion fails

    def worker():
        command = [*prefect, "worker", "start", "--pool", serve.POOL]
        return subprocess.Popen(
            command, cwd=fresh.folder, env=fresh.environment, start_new_session=True, stdout=log, stderr=log
        )

    def state(run):
        return client.read_flow_run(run.id).state

    hold = fresh.trouble((3, "hold"), (5, "hold"))
    working = worker()
    zombie = client.create_flow_run_from_deployment(deployment)
    wait_for(lambda: fresh.epoch() == 3)
    os.killpg(working.pid, signal.SIGKILL)
    working.wait()
    processes.end(fresh.processes("prefect"))
    wait_for(lambda: not fresh.processes())
    assert state(zombie).is_running()
    assert "pipeline" in fresh.run("sweep")
    assert state(zombie).is_crashed()

    working = worker()
    cancelled = client.create_flow_run_from_deployment(deployment)
    wait_for(lambda: fresh.epoch() == 5)  # it got the slot of the dead run
    client.set_flow_run_state(cancelled.id, Cancelling())  # as the UI does
    wait_for(lambda: state(cancelled).is_cancelled())
    wait_for(lambda: [process.pid for process in fresh.processes()] == [working.pid])
    assert fresh.epoch() == 5 and not (fresh.folder / "data" / "model").exists()
    os.killpg(
        working.pid, signal.SIGKILL
    )  # on SIGTERM, while it tidies up after a cancelled run, Prefect's worker can hang
    working.wait()
    hold.unlink()
    assert "continuing after epoch 5" in fresh.run() and fresh.metrics() == undisturbed


def test_after_a_storm_of_kills_the_next_run_ends_as_an_undisturbed_one(client, fresh, undisturbed):
    """A short version of tools/kill_storm.py: whatever is killed, and whenever, nothing is lost, wrong or held."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import StateType

    chance = random.Random(20)
    for victims in (["stand_in", "dvc"], ["guard.py"], [""]):
        flow = fresh.start("train", "--retries", "9", "--retry-seconds", "0.1")
        for words in victims:
            time.sleep(chance.uniform(0.2, 2))
            processes.end(fresh.processes(words))
        time.sleep(chance.uniform(0, 1))
        flow.kill()
        wait_for(lambda: not fresh.processes())
    output = fresh.run("train", "--if-busy", "refuse")  # so no lock is held
    assert fresh.metrics() == undisturbed, output
    alive = {"state": {"type": {"any_": [StateType.RUNNING, StateType.PENDING]}}}
    assert not client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(alive))
    limits = client.read_global_concurrency_limits(limit=50)
    assert not [limit.name for limit in limits if limit.active_slots]


def test_a_run_outlasts_a_restart_and_the_end_of_the_server(client, port, fresh, undisturbed, server):
    hold = fresh.trouble((3, "hold"))
    flow = fresh.start()
    wait_for(lambda: fresh.epoch() == 3)
    server.terminate()
    server.wait(30)
    hold.unlink()  # it trains on without the server
    with serve.server(port):
        flow.output()
        assert fresh.metrics() == undisturbed and last_run(client).state.is_completed()
        fresh.again()
        hold = fresh.trouble((3, "hold"))
        flow = subprocess.Popen(
            [sys.executable, "-m", "pipeline.flows"],
            cwd=fresh.folder,
            env=fresh.environment | {"PREFECT_CLIENT_MAX_RETRIES": "0"},
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: fresh.epoch() == 3)
    hold.unlink()
    said = flow.communicate(timeout=120)[1].splitlines()
    assert any("has gone: " in line and "are kept" in line for line in said) and flow.returncode == 1
    assert fresh.metrics() == undisturbed
    gone = fresh.run(code=1)
    assert gone.startswith(f"error: no Prefect server at http://127.0.0.1:{port}/api: ") and "unset" in gone

"""The flows against a real server on loopback, with stand-in stages: what is shown, and every fault."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.flows import serve
from tests.pipeline.conftest import ROOT, change_params

STAGES = {
    "stages": {
        "data": {"cmd": "python -m stand_in data", "outs": ["data/numbers"]},
        "train": {
            "cmd": "python -m stand_in train",
            "deps": ["data/numbers"],
            "params": ["train", "loss"],
            "outs": ["data/model"],
        },
        "evaluate": {
            "cmd": "python -m stand_in evaluate",
            "deps": ["data/model"],
            "metrics": [{"metrics/evaluate.json": {"cache": False}}],
        },
    }
}
EPOCHS = 8


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A server of its own; the port it listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        patch.setenv("PREFECT_LOGGING_TO_API_BATCH_INTERVAL", "0.3")
        patch.setenv("PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS", "2")
        for name, value in serve.environment(port).items():
            if name.startswith(("PREFECT_", "DO_NOT")):
                patch.setenv(name, value)
        yield port


@pytest.fixture(scope="module")
def server(port):
    with serve.server(port) as process:
        yield process


@pytest.fixture(scope="module")
def client(server):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


class Project:
    """A repository with stand-in stages in which flows run as processes."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.copy(ROOT / "params.yaml", folder)
        shutil.copy(Path(__file__).with_name("stand_in.py"), folder)
        change_params(folder, {"train.epochs": EPOCHS, "train.learning_rate": 0.02, "tracking.wandb": "disabled"})
        (folder / "dvc.yaml").write_text(yaml.safe_dump(STAGES))
        (folder / ".gitignore").write_text(".work/\n__pycache__/\ntrouble\nhold\n")
        author = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.environment = (
            os.environ
            | author
            | {
                "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "DVC_NO_ANALYTICS": "1",
                "TELUCODEC_ROOT": str(folder),
            }
        )
        for command in (
            ["git", "init", "-q"],
            [sys.executable, "-m", "dvc", "init", "-q"],
            ["git", "add", "-A"],
            ["git", "commit", "-qm", "start"],
        ):
            subprocess.run(command, cwd=folder, env=self.environment, check=True)

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.flows", *(arguments or ["train"])],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        return output

    def metrics(self) -> dict:
        return json.loads((self.folder / "metrics" / "evaluate.json").read_text())

    def hold(self) -> Path:
        """A file that keeps training after epoch 3 as long as it is there."""
        (self.folder / "hold").touch()
        return self.folder / "hold"

    def again(self) -> None:
        """Nothing done yet."""
        for name in ("data", "metrics", ".work/stand_in", ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "dvc.lock").unlink(missing_ok=True)
        change_params(self.folder, {"data.root": "data/sample"})

    def until_epoch(self, epoch: int, seconds: float = 60) -> None:
        path = self.folder / ".work" / "stand_in" / "0.5.json"
        wait_for(lambda: path.exists() and json.loads(path.read_text())["epoch"] >= epoch, seconds)

    def processes(self) -> list[psutil.Process]:
        """Everything that works in the folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def stage(self) -> psutil.Process:
        return next(process for process in self.processes() if process.cmdline()[-2:] == ["stand_in", "train"])


@pytest.fixture(scope="module")
def project(tmp_path_factory, server):
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def undisturbed(project):
    """Metrics of a run that nothing happened to."""
    project.run()
    return project.metrics()


@pytest.fixture
def fresh(project, undisturbed):
    """The project with nothing done."""
    project.again()
    yield project
    (project.folder / "hold").unlink(missing_ok=True)
    assert not project.processes(), "something outlived its run"


def wait_for(condition, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
    return value


def last_run(client):
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterStartTime
    from prefect.client.schemas.sorting import FlowRunSort

    started = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))
    return client.read_flow_runs(flow_run_filter=started, sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def test_a_run_shows_a_bar_for_each_stage_progress_metrics_and_its_snr(client, project, undisturbed):
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    run = last_run(client)
    snr = f"{undisturbed['codebooks_1']['snr']:.2f} dB"
    assert run.name == f"pipeline {snr}" and f"snr {snr}" in run.tags and run.state.is_completed()
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    tasks = wait_for(lambda: (found := client.read_task_runs(flow_run_filter=only)) and len(found) == 3 and found)
    assert {task.name for task in tasks} == {"data", "train", "evaluate"}
    artifacts = {artifact.key: artifact for artifact in client.read_artifacts(flow_run_filter=only)}
    assert artifacts["progress-train"].data == 100
    assert json.loads(artifacts["metrics"].data)[0]["this run"] == undisturbed["codebooks_1"]["snr"]


def test_overrides_make_an_experiment_that_leaves_the_workspace_as_it_was(client, project, undisturbed):
    lock = (project.folder / "dvc.lock").read_bytes()
    project.run("train", "-S", "loss.mse_weight=0.25", "--name", "quarter")
    assert project.metrics() == undisturbed and (project.folder / "dvc.lock").read_bytes() == lock
    run = last_run(client)
    assert run.name.startswith("quarter ") and f"{undisturbed['codebooks_1']['snr']:.2f}" not in run.name
    assert "exists" in project.run("train", "-S", "loss.mse_weight=0.25", "--name", "quarter", code=1)


def test_a_list_of_experiments_goes_on_where_it_stopped(project, undisturbed):
    overrides = [
        {"name": "half", "overrides": {"loss.mse_weight": 0.1}},
        {"name": "one", "overrides": {"loss.mse_weight": 1}},
    ]
    (project.folder / "list.yaml").write_text(yaml.safe_dump(overrides[:1]))
    project.run("experiments", "list.yaml")
    (project.folder / "list.yaml").write_text(yaml.safe_dump(overrides))
    output = project.run("experiments", "list.yaml")
    assert "half is finished" in output and "one is finished" not in output
    (project.folder / "list.yaml").unlink()


@pytest.mark.parametrize(
    "override, said",
    [("loss.mse_wieght=1", "did you mean loss.mse_weight"), ("loss.mse_weight=-1", "greater than or equal to 0")],
)
def test_a_wrong_override_is_refused_with_what_is_allowed(project, override, said):
    assert said in project.run("train", "-S", override, code=1)


def test_a_stage_that_crashes_goes_on_from_its_checkpoint(fresh, undisturbed):
    (fresh.folder / "trouble").write_text("crash")
    output = fresh.run("train", "--retry-seconds", "1")
    assert "continuing after epoch 3" in output and fresh.metrics() == undisturbed


def test_a_failure_that_retrying_cannot_mend_shows_the_stages_own_sentence(client, fresh, undisturbed):
    (fresh.folder / "trouble").write_text("no codebook is used; look at quantizer.init")
    fresh.run(code=1)
    state = last_run(client).state
    assert state.message.startswith("train: error: no codebook is used; look at quantizer.init")
    assert "Traceback" not in state.message and "File " not in state.message
    fresh.run()
    assert fresh.metrics() == undisturbed


def test_a_full_disk_leaves_nothing_that_counts_as_done(client, fresh, undisturbed):
    (fresh.folder / "trouble").write_text("disk")
    fresh.run("train", "--retries", "0", code=1)
    assert "No space left on device" in last_run(client).state.message
    assert not (fresh.folder / "data" / "model").exists()
    fresh.run()
    assert fresh.metrics() == undisturbed


@pytest.mark.parametrize("victim", ["stage", "guard"])
def test_a_killed_task_is_tried_again(fresh, undisturbed, victim):
    hold = fresh.hold()
    flow = fresh.start("train", "--retry-seconds", "1")
    fresh.until_epoch(3)
    process = fresh.stage()
    if victim == "guard":
        process = next(one for one in process.parents() if "guard.py" in " ".join(one.cmdline()))
    process.kill()
    hold.unlink()
    output, _ = flow.communicate(timeout=60)
    assert flow.returncode == 0 and "continuing after epoch" in output and fresh.metrics() == undisturbed


def test_a_killed_flow_leaves_no_process_and_the_next_run_marks_it(client, fresh, undisturbed):
    hold = fresh.hold()
    flow = fresh.start()
    fresh.until_epoch(3)
    run = last_run(client)
    flow.kill()
    flow.communicate()
    wait_for(lambda: not fresh.processes())
    hold.unlink()
    (fresh.folder / "dvc.lock").write_text("schema: '2.0'\nstages:\n  da")  # DVC died while it wrote these
    (fresh.folder / ".dvc" / "tmp" / "rwlock").write_text("")
    assert client.read_flow_run(run.id).state.is_running()
    output = fresh.run()
    assert "continuing after epoch" in output and fresh.metrics() == undisturbed
    assert client.read_flow_run(run.id).state.is_crashed()


def test_a_killed_experiment_leaves_the_workspace_as_it_was_and_can_be_run_again(fresh):
    def workspace():
        return subprocess.run(["git", "status", "--porcelain"], cwd=fresh.folder, capture_output=True, text=True).stdout

    before = workspace()
    hold = fresh.hold()
    flow = fresh.start("train", "-S", "loss.mse_weight=0.7", "--name", "killed")
    checkpoint = fresh.folder / ".work" / "stand_in" / "0.7.json"
    wait_for(lambda: checkpoint.exists() and json.loads(checkpoint.read_text())["epoch"] >= 3)
    flow.kill()
    flow.communicate()
    wait_for(lambda: not fresh.processes())
    hold.unlink()
    assert workspace() == before
    assert "continuing after epoch" in fresh.run("train", "-S", "loss.mse_weight=0.7", "--name", "killed")


def test_a_second_run_waits_or_is_refused_and_a_shell_gets_a_plain_message(fresh, undisturbed):
    hold = fresh.hold()
    first = fresh.start()
    fresh.until_epoch(3)
    assert "another run works in this workspace: pipeline" in fresh.run("train", "--if-busy", "refuse", code=1)
    shell = subprocess.run(
        [sys.executable, "-m", "dvc", "repro"], cwd=fresh.folder, env=fresh.environment, capture_output=True, text=True
    )
    assert shell.returncode != 0 and "Traceback" not in shell.stderr
    assert "is busy" in shell.stderr or "Unable to acquire lock" in shell.stderr
    second = fresh.start()
    held = fresh.folder / ".work" / "flows"
    wait_for(lambda: len(list(held.iterdir())) == 2)  # it has begun
    time.sleep(1)
    hold.unlink()
    output, _ = second.communicate(timeout=90)
    assert first.communicate() and first.returncode == 0
    assert second.returncode == 0 and "waiting for it" in output and fresh.metrics() == undisturbed


def test_new_recordings_start_a_run(fresh, undisturbed):
    recordings = fresh.folder / "recordings"
    recordings.mkdir()
    (recordings / "a.wav").write_bytes(b"a")
    os.utime(recordings / "a.wav", (0, 0))
    change_params(fresh.folder, {"data.root": "recordings"})
    assert "1 new or changed recordings" in fresh.run("watch")
    assert "nothing new" in fresh.run("watch")
    shutil.rmtree(recordings)


def test_a_cancelled_run_of_a_worker_and_a_killed_worker(client, request, fresh, undisturbed):
    """Cancel leaves no process and keeps the checkpoint; a dead worker's run is swept, and its slot is free."""
    shutil.copy(ROOT / "prefect.yaml", fresh.folder)
    shutil.copytree(ROOT / "pipeline", fresh.folder / "pipeline")
    environment = fresh.environment | {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    prefect = [sys.executable, "-m", "prefect"]
    for command in (["work-pool", "create", "telucodec", "--type", "process"], ["--no-prompt", "deploy", "--all"]):
        subprocess.run([*prefect, *command], cwd=fresh.folder, env=environment, check=True, capture_output=True)
    deployment = client.read_deployment_by_name("train-codec/on-demand").id
    from prefect.exceptions import PrefectHTTPStatusError

    with pytest.raises(PrefectHTTPStatusError, match="mse_wieght"):
        client.create_flow_run_from_deployment(deployment, parameters={"overrides": {"loss.mse_wieght": 1}})

    log = (fresh.folder.parent / "worker.log").open("a")
    request.addfinalizer(lambda: [process.kill() for process in fresh.processes()])  # where an assertion fails

    def worker():
        return subprocess.Popen(
            [*prefect, "worker", "start", "--pool", "telucodec"],
            cwd=fresh.folder,
            env=environment,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )

    def state(run):
        return client.read_flow_run(run.id).state

    hold = fresh.hold()
    working = worker()
    cancelled = client.create_flow_run_from_deployment(deployment)
    fresh.until_epoch(3)
    subprocess.run(
        [*prefect, "flow-run", "cancel", str(cancelled.id)], env=environment, check=True, capture_output=True
    )
    wait_for(lambda: state(cancelled).is_cancelled())
    wait_for(lambda: [process.pid for process in fresh.processes()] == [working.pid])
    assert json.loads((fresh.folder / ".work" / "stand_in" / "0.5.json").read_text())["epoch"] == 3
    assert not (fresh.folder / "data" / "model").exists()

    zombie = client.create_flow_run_from_deployment(deployment)
    wait_for(lambda: state(zombie).is_running())
    wait_for(lambda: any(process.cmdline()[-2:] == ["stand_in", "train"] for process in fresh.processes()))
    os.killpg(working.pid, signal.SIGKILL)
    working.wait()
    for process in fresh.processes():
        if "prefect" in " ".join(process.cmdline()):
            process.kill()
    wait_for(lambda: not fresh.processes())
    assert state(zombie).is_running()
    hold.unlink()
    assert "pipeline" in fresh.run("sweep")
    assert state(zombie).is_crashed()
    working = worker()
    last = client.create_flow_run_from_deployment(deployment)
    wait_for(lambda: state(last).is_final())
    assert state(last).is_completed() and fresh.metrics() == undisturbed
    working.terminate()
    working.wait(60)


def test_a_run_outlasts_a_restart_of_the_server(port, tmp_path, fresh, undisturbed, server):
    from prefect.client.orchestration import get_client

    hold = fresh.hold()
    flow = fresh.start()
    fresh.until_epoch(3)
    server.terminate()
    server.wait(30)
    hold.unlink()  # it trains on without the server
    with serve.server(port), get_client(sync_client=True) as client:
        output, _ = flow.communicate(timeout=120)
        assert flow.returncode == 0, output
        assert fresh.metrics() == undisturbed
        assert last_run(client).state.is_completed()

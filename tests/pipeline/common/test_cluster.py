import hashlib
import subprocess
import sys

import pytest

from pipeline import discover, preprocess
from pipeline.common import files
from pipeline.common.stage import StageError


def shards() -> dict[str, str]:
    """Every file of the shards by name, with its digest."""
    found = sorted(path for path in files.SHARDS.rglob("*") if path.is_file())
    return {str(path.relative_to(files.SHARDS)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture
def recordings(workspace, change, corpus):
    settings = change(workspace, {"data.root": "recordings"})
    discover.main(settings)
    return workspace


def test_a_dask_cluster_makes_the_same_shards_to_the_byte(recordings, change):
    preprocess.main(change(recordings, {"cluster.dask": None}))
    expected = shards()
    metrics = (files.METRICS / "preprocess.json").read_bytes()
    preprocess.main(change(recordings, {"cluster.dask": 2}))
    assert len(expected) == 6 and shards() == expected
    assert (files.METRICS / "preprocess.json").read_bytes() == metrics


def test_a_running_cluster_is_used_by_its_address(recordings, change, tmp_path):
    from distributed import LocalCluster

    preprocess.main(change(recordings, {"cluster.dask": None}))
    expected = shards()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        preprocess.main(change(recordings, {"cluster.dask": cluster.scheduler_address}))
    assert shards() == expected


def test_an_unreadable_recording_is_named_as_without_a_cluster(recordings, change):
    settings = change(recordings, {"cluster.dask": 2})
    (recordings / "recordings" / "speaker3" / "1.wav").write_bytes(b"RIFF")
    with pytest.raises(StageError, match=r"speaker3/1\.wav"):
        preprocess.main(settings)
    assert not files.SHARDS.exists()


def test_no_scheduler_at_the_address_is_a_plain_message(recordings, change, monkeypatch):
    monkeypatch.setattr("pipeline.common.cluster.CONNECT_SECONDS", 1)
    settings = change(recordings, {"cluster.dask": "tcp://127.0.0.1:9"})
    with pytest.raises(StageError, match=r"no Dask scheduler answers at cluster\.dask=tcp://127\.0\.0\.1:9"):
        preprocess.main(settings)


def test_an_address_without_a_scheme_is_refused(workspace, change):
    from pipeline.common.params import ParamsError

    with pytest.raises(ParamsError, match=r"cluster\.dask"):
        change(workspace, {"cluster.dask": "somewhere:8786"})


def test_plain_preprocessing_does_not_import_dask(recordings):
    command = (
        "import sys, pipeline.preprocess as stage, pipeline.common.params as params; "
        "stage.main(params.load()); print('distributed' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "False"

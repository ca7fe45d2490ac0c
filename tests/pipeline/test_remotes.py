"""Data, shards and models move between machines by `dvc push` and `dvc pull`."""

import hashlib
import shutil

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.pipeline.test_repro import Repository

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository whose shards are made."""
    folder = tmp_path_factory.mktemp("remotes") / "here"
    folder.mkdir()
    repository = Repository(folder)
    repository.environment |= CREDENTIALS
    repository.dvc("repro", "preprocess")
    repository.commit("shards")
    return repository


@pytest.fixture
def bucket():
    """The address of an S3 server on loopback with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    names = {name.lower(): value for name, value in CREDENTIALS.items() if name != "AWS_DEFAULT_REGION"}
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **names).create_bucket(Bucket="speech")
    yield endpoint
    server.stop()


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def moved(repository, place) -> None:
    """Push, clone, pull: the clone has the same data and nothing to do."""
    repository.dvc("push")
    repository.run("git", "clone", "-q", ".", str(place))
    elsewhere = Repository.__new__(Repository)
    elsewhere.folder, elsewhere.environment = place, repository.environment
    shutil.copy(repository.folder / ".dvc" / "config", place / ".dvc" / "config")
    assert not (place / "data" / "shards").exists()
    elsewhere.dvc("pull", "preprocess", "sample")
    assert digests(place / "data" / "shards") == digests(repository.folder / "data" / "shards") != {}
    output = elsewhere.dvc("repro", "preprocess")
    assert "Running stage 'preprocess'" not in output and "Running stage 'sample'" not in output


def test_a_folder_as_remote(repository, tmp_path):
    repository.dvc("remote", "add", "--force", "--default", "storage", str(tmp_path / "storage"))
    moved(repository, tmp_path / "there")


def test_an_s3_bucket_as_remote(repository, bucket, tmp_path):
    repository.dvc("remote", "add", "--force", "--default", "bucket", "s3://speech/telucodec")
    repository.dvc("remote", "modify", "bucket", "endpointurl", bucket)
    moved(repository, tmp_path / "there")

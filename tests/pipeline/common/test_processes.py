import os

import pytest

from pipeline.common.processes import workers


@pytest.mark.parametrize("before", ["3", None])
def test_a_worker_has_one_thread_and_the_environment_stays_as_it_was(monkeypatch, before):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if before:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    with workers(1) as pool:
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"
    assert os.environ.get("OMP_NUM_THREADS") == before

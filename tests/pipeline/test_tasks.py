import pytest
import torch
from dvc.repo import Repo

from pipeline import params, tasks


@pytest.mark.parametrize("name", ["tokens", "waveform"])
def test_dvc_knows_every_parameter_that_a_training_reads(name):
    """Or `dvc exp run -S` of one would run nothing."""
    (stage,) = Repo().stage.collect(f"train@{name}")
    known = {key for dependency in stage.deps if hasattr(dependency, "params") for key in dependency.params}
    read = {"preprocess", *tasks.task(name, params.load(), torch.device("cpu")).sections}
    assert below(known) == below(read)


def below(sections):
    every = params.keys()
    return {key for key in every if any(key.startswith(f"{section}.") for section in sections)}

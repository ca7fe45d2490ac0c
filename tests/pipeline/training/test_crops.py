"""Crops cut by a GPU are those that the processor cuts, and training reads its figures once an epoch."""

import numpy as np
import pytest
import torch

from pipeline import train
from pipeline.common import files, params
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.training.crops import ResidentCrops, cut, draw, reader

CPU = torch.device("cpu")


@pytest.mark.parametrize("samples", [4000, 40_000])  # shorter than every clip, longer than every clip
def test_resident_crops_are_those_of_the_shards_to_the_bit(ready, samples):
    shards = Shards(files.SHARDS / "train")
    shards.factors[:] = [factor * 1.7 for factor in shards.factors]  # as if clips were scaled
    places = draw(shards, np.random.default_rng(3), 50, samples, [-10.0, 4.0])
    crops = ResidentCrops(shards, CPU)(places, samples)
    assert crops.dtype == torch.float32 and np.array_equal(crops.numpy(), cut(shards, places, samples))
    assert torch.equal(crops, reader(shards, CPU)(places, samples))


def test_a_cpu_reads_from_the_disk(ready):
    shards = Shards(files.SHARDS / "train")
    assert not isinstance(reader(shards, CPU), ResidentCrops)
    assert shards.bytes == sum(path.stat().st_size for path in (files.SHARDS / "train").glob("*.pcm"))


def test_steps_give_every_term_of_every_step(ready, change):
    second_phase = {"loss.adversarial_weight": 0.3, "train.adversarial_after": 0.4, "train.epochs": 1}
    run = train.prepare(change(ready, second_phase), "tokens")
    run.start()
    terms = run.steps(6)
    assert {name: len(values) for name, values in terms.items() if name in ("total", "grad_norm")} == {
        "total": 6,
        "grad_norm": 6,
    }
    assert len(terms["adversarial"]) == len(terms["discriminator"]) == 3  # from the third of six steps on
    assert all(np.isfinite(values).all() for values in terms.values())
    assert run.steps(0) == {}


def test_a_step_that_is_not_finite_is_named(ready, change):
    run = train.prepare(params.load(), "tokens")
    run.start()
    task_step, calls = run.task.step, []

    def poisoned(batch, random):
        terms = task_step(batch, random)
        calls.append(terms)
        return terms | {"total": terms["total"] * (np.nan if len(calls) == 3 else 1)}

    run.step = poisoned
    with pytest.raises(StageError, match=r"not finite in epoch 1, step 3 \(total nan, l1 "):
        run.steps(5)

"""Other processes analyse crops in advance, and nothing else changes."""

import numpy as np
import pytest
import torch

from pipeline.common import files
from pipeline.common.shards import Shards
from pipeline.training import batches
from pipeline.training.batches import Batches


def loudest(audio):
    """An analysis that can be sent to other processes."""
    return np.abs(audio).max(1), np.cumsum(audio, axis=1)[:, ::100]


def made(processes=0):
    shards = Shards(files.SHARDS / "train")
    source = Batches(shards, np.random.default_rng(5), 3000, [-10.0, 4.0], torch.device("cpu"))
    source._processes = processes  # as on a machine with a GPU and more cores
    return source


@pytest.mark.parametrize("processes", [0, 2])
def test_batches_hold_what_was_found_of_their_crops(ready, processes):
    steps = batches.AHEAD + 3
    taken = list(made(processes).take(steps, 6, loudest))
    plain = list(made().take(steps, 6, None))
    assert len(taken) == len(plain) == steps
    for one, other in zip(taken, plain, strict=True):
        assert torch.equal(one.audio, other.audio) and other.found is None
        for part, expected in zip(one.found, loudest(one.audio.numpy()), strict=True):
            assert np.array_equal(part.numpy(), expected)


def test_after_the_last_batch_nothing_is_drawn_in_advance(ready):
    """A checkpoint between two epochs holds the state of the draws, and must not lose any."""
    source, whole = made(), list(made().take(5, 4, loudest))
    parts = [*source.take(2, 4, loudest), *source.take(0, 4, loudest), *source.take(3, 4, None)]
    assert all(torch.equal(one.audio, other.audio) for one, other in zip(parts, whole, strict=True))


def test_crops_have_the_range_of_levels(ready):
    source, plain = made(), made()
    plain._gain_db = [0.0, 0.0]
    gains = source.crops(200).abs().amax(1) / plain.crops(200).abs().amax(1)
    decibels = 20 * gains[torch.isfinite(gains)].log10()
    assert -10.01 < decibels.min() < -8 and 2 < decibels.max() < 4.01

import math

import numpy as np
import torch

from pipeline.common import files
from pipeline.common.shards import Shards
from pipeline.training.batches import Batches
from telucodec.networks import distributed


def made(gain_db=(-10.0, 4.0)):
    shards = Shards(files.SHARDS / "train")
    return Batches(shards, np.random.default_rng(5), 3000, list(gain_db), torch.device("cpu"))


def test_ranks_share_what_one_process_would_take(ready, monkeypatch):
    whole, shares = made(), [made(), made()]
    monkeypatch.setattr(distributed, "ranks", lambda: 2)
    for _ in range(3):
        parts = []
        for rank, source in enumerate(shares):
            monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
            parts.append(source.share(6))
        assert torch.equal(torch.cat(parts), whole.crops(6)) and len(parts[0]) == 3


def test_crops_have_the_range_of_levels(ready):
    gains = made().crops(200).abs().amax(1) / made([0.0, 0.0]).crops(200).abs().amax(1)
    decibels = 20 * gains[torch.isfinite(gains)].log10()
    assert -10.01 < decibels.min() < -8 and 2 < decibels.max() < 4.01


def test_crops_are_enough_when_they_cover_the_split(ready):
    samples = sum(path.stat().st_size for path in (files.SHARDS / "train").glob("*.pcm")) / 2
    assert made().enough(2.2) == 3 and made().enough(10_000) == math.ceil(samples / 3000) > 3

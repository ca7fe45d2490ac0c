"""The runtime's sharing out of codebooks against that of training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from telucodec.networks.tokens.depths import depths as trained_depths
from telucodec.tokens import depths as module
from telucodec.tokens.depths import depths


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), frames=st.integers(1, 60), codebooks=st.integers(1, 12), mean=st.floats(0, 12))
def test_frames_use_what_they_use_in_training(seed, frames, codebooks, mean):
    random = np.random.default_rng(seed)
    errors = -np.sort(-random.exponential(1.0, (frames, codebooks + 1)).astype(np.float32), axis=1)
    expected = trained_depths(torch.from_numpy(errors)[None], torch.tensor([mean]))[0].numpy()
    found = depths(errors, np.float32(mean))
    assert (found != expected).mean() <= 0.05 and abs(found.sum() - expected.sum()) <= max(1, frames // 20)


def test_of_frames_with_equal_gains_the_one_farther_from_silence_comes_first():
    errors = np.array([[4.0, 2.0, 1.0], [16.0, 14.0, 13.0]], np.float32)
    assert depths(errors, 0.5).tolist() == [0, 1]


def test_the_mean_is_met_where_errors_allow_it():
    errors = np.tile(np.array([8.0, 4.0, 2.0, 1.0], np.float32), (10, 1)) * np.arange(1, 11, dtype=np.float32)[:, None]
    assert depths(errors, 1.5).mean() == 1.5
    assert depths(errors, 0.0).sum() == 0 and depths(errors, 3.0).min() == 3


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), mean=st.floats(1, 12))
def test_a_frame_with_any_codebook_has_two_thirds_of_the_mean(seed, mean):
    errors = -np.sort(-np.random.default_rng(seed).exponential(1.0, (40, 13)).astype(np.float32), axis=1)
    used = depths(errors, mean)
    assert (used[used > 0] >= round(2 / 3 * mean)).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), frames=st.integers(1, 60), mean=st.floats(0, 4), block=st.integers(1, 20))
def test_the_largest_gains_are_taken_however_frames_are_looked_at(seed, frames, mean, block):
    random = np.random.default_rng(seed)
    errors = random.choice([0.0, 0.25, 1.0, 3.0], (frames, 5)).astype(
        np.float32
    )  # with many ties, and gains below zero
    gains = module._gains(errors, round(module.LEAST * mean))
    least = np.sort(gains, axis=None)[-max(round(mean * frames), 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        used = depths(errors, mean)
    expected = ((gains >= least) & (gains > 0)).sum(1) if round(mean * frames) else np.zeros(frames)
    assert used.tolist() == expected.tolist()

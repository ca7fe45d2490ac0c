import json

import numpy as np
import pytest

from pipeline.common.shards import Shards
from pipeline.common.stage import StageError


@pytest.fixture
def shards(tmp_path):
    """Two files; the value of a sample is its clip number * 1000 + its position."""
    clips, shard, offset = [], "00000.pcm", 0
    for number, length in enumerate((700, 90, 500)):
        if number == 2:
            shard, offset = "00001.pcm", 0
        with (tmp_path / shard).open("ab") as file:
            file.write((1000 * number + np.arange(length)).astype("<i2").tobytes())
        clips.append(
            {"clip": str(number), "shard": shard, "offset": offset, "length": length, "scale": 32768.0, "gain": 1.0}
        )
        offset += length
    (tmp_path / "index.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    return Shards(tmp_path)


def test_clips(shards):
    assert len(shards) == 3
    for number, length in enumerate((700, 90, 500)):
        assert np.array_equal(shards.clip(number), np.float32(1000 * number + np.arange(length)))


def test_a_crop_is_a_stretch_of_one_clip_and_short_clips_are_padded(shards):
    for crop in shards.crops(np.random.default_rng(0), 500, 100):
        number = int(crop[0]) // 1000
        if number == 1:
            assert np.array_equal(crop, np.r_[1000 + np.arange(90), np.zeros(10)])
        else:
            assert np.array_equal(crop, crop[0] + np.arange(100))
            assert crop[-1] < 1000 * number + len(shards.clip(number))


def test_crops_follow_the_generator(shards):
    draw = lambda seed: shards.crops(np.random.default_rng(seed), 20, 100)  # noqa: E731
    assert np.array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))


def test_longer_clips_are_drawn_more_often(shards):
    numbers = shards.crops(np.random.default_rng(0), 3000, 100)[:, 0] // 1000
    share = [float(np.mean(numbers == number)) for number in range(3)]
    assert share == pytest.approx([700 / 1290, 90 / 1290, 500 / 1290], abs=0.03)


def test_clips_spread_over_the_split_leave_out_silence(shards, tmp_path):
    assert [len(clip) for clip in shards.audible(2)] == [700, 90, 500] and len(shards.audible(1)[0]) == 700
    (tmp_path / "00000.pcm").write_bytes(bytes(2 * 790))
    assert [len(clip) for clip in Shards(tmp_path).audible(3)] == [500]
    with pytest.raises(StageError, match="digital silence"):
        Shards(tmp_path).audible(1)


def test_no_split_no_reader(tmp_path):
    with pytest.raises(FileNotFoundError):
        Shards(tmp_path)

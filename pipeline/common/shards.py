"""Reading the shards that `preprocess` wrote: whole clips, or random crops for training.

python -m pipeline.common.shards data/shards/train    measures crops per second on one core

A split is a folder with NNNNN.pcm (raw little-endian int16, mono) and index.jsonl, one line per clip: `clip` (name), `source`
(path in the manifest), `sha256` of the source's audio, `speaker`, `start` (seconds into the source), `shard`, `offset` and
`length` (samples), `scale` and `gain`. The codec sees int16 / 32768 * scale; `gain` is the factor that normalisation
applied to the recording.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common import files
from pipeline.common.stage import StageError

FULL_SCALE = 32768  # of int16, as everywhere in the codec
INDEX = "index.jsonl"


class Shards:
    """The clips of one split, memory-mapped.

    Raises:
        FileNotFoundError: there is no split in `folder`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.clips: list[dict[str, Any]] = list(files.read_lines(folder / INDEX))
        mapped = {name: np.memmap(folder / name, "<i2", "r") for name in sorted({clip["shard"] for clip in self.clips})}
        self._audio = [mapped[clip["shard"]][clip["offset"] : clip["offset"] + clip["length"]] for clip in self.clips]
        self.factors = [clip["scale"] / FULL_SCALE for clip in self.clips]  # from int16 to what the codec sees
        self._lengths = np.array([clip["length"] for clip in self.clips])
        self._ends = np.cumsum(self._lengths)

    def __len__(self) -> int:
        return len(self.clips)

    def clip(self, number: int) -> np.ndarray:
        """A whole clip [samples], float32."""
        return self._audio[number].astype(np.float32) * np.float32(self.factors[number])

    def samples(self, number: int) -> np.ndarray:
        """A whole clip [samples] as it is stored, int16."""
        return self._audio[number]

    @property
    def length(self) -> int:
        """Samples of all clips."""
        return int(self._ends[-1])

    @property
    def bytes(self) -> int:
        return 2 * self.length

    def audible(self, count: int) -> list[np.ndarray]:
        """About `count` clips, evenly spaced over the split, without digital silence, whose SNR is undefined.

        Raises:
            StageError: all of them are silence.
        """
        clips = (self.clip(number) for number in range(0, len(self), max(1, len(self) // count)))
        audible = [clip for clip in clips if clip.any()]
        if not audible:
            raise StageError("every inspected clip is digital silence; check data.silence_dbfs and data/rejected.md")
        return audible

    def crops(self, random: np.random.Generator, count: int, samples: int) -> np.ndarray:
        """Random crops [count, samples], float32, from `places`."""
        return self.cut(*self.places(random, count, samples), samples)

    def cut(self, numbers: np.ndarray, starts: np.ndarray, samples: int) -> np.ndarray:
        """Crops [count, samples], float32, of clips [count] from samples [count] on. A short clip is padded with zeros."""
        crops = np.zeros((len(numbers), samples), np.float32)
        for crop, number, start in zip(crops, numbers, starts, strict=True):
            part = self._audio[number][start : start + samples]
            np.multiply(part, self.factors[number], out=crop[: len(part)], casting="unsafe")
        return crops

    def places(self, random: np.random.Generator, count: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Where random crops lie: the numbers of their clips [count], and their first samples in these [count].

        Every moment of the split is equally likely to be the middle of a crop, but for the ends of clips.
        """
        middles = random.integers(0, self._ends[-1], count)
        numbers = np.searchsorted(self._ends, middles, side="right")
        lengths = self._lengths[numbers]
        inside = middles - (self._ends[numbers] - lengths)
        return numbers, np.clip(inside - samples // 2, 0, np.maximum(lengths - samples, 0))


def main(folder: str) -> None:
    shards, random = Shards(Path(folder)), np.random.default_rng(0)
    began, rounds, batch = time.process_time(), 400, 64
    for _ in range(rounds):
        shards.crops(random, batch, 16000)
    print(f"{rounds * batch / (time.process_time() - began):,.0f} crops of 16000 samples per CPU-second")


if __name__ == "__main__":
    main(sys.argv[1])

"""Reading the shards that `preprocess` wrote: clips as they are, or random crops for training.

    python -m pipeline.shards data/shards/train     measures crops a second on one core

A split is a folder with NNNNN.pcm (raw little-endian int16, mono) and index.jsonl, one clip a line: `clip` (name), `source`
(path in the manifest), `sha256` of the source's audio, `speaker`, `start` (seconds into the source), `shard`, `offset` and
`length` (samples), `scale` and `gain`. Audio in model units is int16 / 32767 * scale; `gain` is what normalisation
multiplied the recording by.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from pipeline.stage import StageError

FULL_SCALE = 32767
INDEX = "index.jsonl"


class Shards:
    """The clips of one split, memory-mapped.

    Raises:
        FileNotFoundError: there is no split in `folder`.
    """

    def __init__(self, folder: Path):
        lines = (folder / INDEX).read_text(encoding="utf-8").splitlines()
        self.clips: list[dict] = [json.loads(line) for line in lines]
        mapped = {name: np.memmap(folder / name, "<i2", "r") for name in sorted({clip["shard"] for clip in self.clips})}
        self._audio = [mapped[clip["shard"]][clip["offset"] : clip["offset"] + clip["length"]] for clip in self.clips]
        self._factors = [clip["scale"] / FULL_SCALE for clip in self.clips]
        self._ends = np.cumsum([clip["length"] for clip in self.clips])

    def __len__(self) -> int:
        return len(self.clips)

    def clip(self, number: int) -> np.ndarray:
        """A whole clip [samples], float32 in model units."""
        return self._audio[number].astype(np.float32) * np.float32(self._factors[number])

    def audible(self, count: int) -> list[np.ndarray]:
        """About `count` clips, evenly spaced over the split; digital silence, of which no SNR exists, is left out.

        Raises:
            StageError: there is nothing but silence.
        """
        clips = (self.clip(number) for number in range(0, len(self), max(1, len(self) // count)))
        found = [clip for clip in clips if clip.any()]
        if not found:
            raise StageError("every clip looked at is digital silence; look at data.silence_dbfs and data/rejected.md")
        return found

    def crops(self, random: np.random.Generator, count: int, samples: int) -> np.ndarray:
        """Random crops [count, samples], float32 in model units.

        Every second of the split is as likely as any other to lie in the middle of a crop, as far as the clip's ends
        allow; a clip shorter than a crop is followed by zeros.
        """
        crops = np.zeros((count, samples), np.float32)
        middles = random.integers(0, self._ends[-1], count)
        for crop, middle, number in zip(
            crops, middles, np.searchsorted(self._ends, middles, side="right"), strict=True
        ):
            audio = self._audio[number]
            inside = middle - (self._ends[number] - len(audio))
            start = min(max(inside - samples // 2, 0), max(len(audio) - samples, 0))
            part = audio[start : start + samples]
            np.multiply(part, self._factors[number], out=crop[: len(part)], casting="unsafe")
        return crops


def main(folder: str) -> None:
    shards, random = Shards(Path(folder)), np.random.default_rng(0)
    began, rounds, batch = time.process_time(), 400, 64
    for _ in range(rounds):
        shards.crops(random, batch, 16000)
    print(f"{rounds * batch / (time.process_time() - began):,.0f} crops of 16000 samples per CPU-second")


if __name__ == "__main__":
    main(sys.argv[1])

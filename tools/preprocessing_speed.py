"""What a core of this machine gets through in preprocessing: `python -m tools.preprocessing_speed`.

One minute of 48 kHz stereo noise in 20 recordings, read from the page cache, resampled, and written as a shard.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from pipeline import preprocess
from pipeline.common import params
from pipeline.corpus.plan import Shard, Source

RATE, SECONDS, RECORDINGS, ROUNDS = 48000, 3, 20, 5


def main() -> None:
    settings = params.load().preprocess
    noise = np.random.default_rng(0).normal(0, 0.1, (RATE * SECONDS, 2))
    with tempfile.TemporaryDirectory() as name:
        folder, sources = Path(name), []
        for number in range(RECORDINGS):
            path = folder / f"{number}.wav"
            soundfile.write(path, noise, RATE)
            size = {"frames": len(noise), "rate": RATE, "channels": 2, "channel": None}
            row = {"path": path.name, "sha256": "", "speaker": "noise", **size}
            sources.append(Source(row, path, SECONDS * settings.sample_rate, (0,)))
        shard = Shard("train", "00000.pcm", tuple(sources))
        preprocess.make_shard(shard, folder, settings)  # once, to have everything loaded
        began = time.process_time()
        for _ in range(ROUNDS):
            preprocess.make_shard(shard, folder, settings)
        spent = time.process_time() - began
        size = (folder / "train" / "00000.pcm").stat().st_size
    audio = ROUNDS * RECORDINGS * SECONDS
    print(f"{audio / spent:,.0f} audio-seconds per CPU-second, {size * 60 / 1e6:.0f} MB of shards an hour of speech")


if __name__ == "__main__":
    main()

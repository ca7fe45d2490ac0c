"""Shards as FLAC, half the size and bit-identical when unpacked, or as Opus, an eighth of the size, for lossy recordings."""

import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from pipeline.common.shards import INDEX
from pipeline.common.stage import StageError

SPLITS = "train", "validation"
CHECKSUMS = "sha256.json"  # of the shards as they were before packing, by name; null for Opus
SAMPLE_RATE = 16000  # Hz; `preprocess.sample_rate` allows no other
SMALLEST = 1.0  # compression level of FLAC: the slowest and smallest
OPUS_LEVEL = 0.896  # libsndfile: 32 kbit/s; speech takes about 27


def pack(split: Path, folder: Path, opus: bool = False) -> None:
    """Write the shards of a split into `folder`, which must not exist, with their index and checksums.

    Args:
        opus: lossy, for recordings that were lossy already.

    Raises:
        StageError: there is no split.
    """
    if not (split / INDEX).exists():
        raise StageError(f"{split} holds no shards; run `dvc repro preprocess` first")
    folder.mkdir(parents=True)
    (folder / INDEX).write_bytes((split / INDEX).read_bytes())
    shards = sorted(split.glob("*.pcm"))
    with ThreadPoolExecutor() as pool:  # libsndfile works outside the interpreter's lock
        packed = pool.map(lambda path: _pack(path, folder, opus), shards)
        bar = tqdm(packed, f"pack {split.name}", len(shards), unit="shard", file=sys.stderr, disable=None)
        checksums = {path.name: checksum for path, checksum in zip(shards, bar, strict=True)}
    (folder / CHECKSUMS).write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")


def _pack(path: Path, folder: Path, opus: bool) -> str | None:
    """Write a shard into `folder`; returns its checksum."""
    samples = np.fromfile(path, "<i2")
    if opus:
        name, kind, level = f"{path.stem}.ogg", {"subtype": "OPUS", "format": "OGG"}, OPUS_LEVEL
    else:
        name, kind, level = f"{path.stem}.flac", {"subtype": "PCM_16", "format": "FLAC"}, SMALLEST
    soundfile.write(folder / name, samples, SAMPLE_RATE, compression_level=level, **kind)
    # Decoders of Opus may round differently on another processor, so there only the packed bytes can be compared.
    return None if opus else hashlib.sha256(samples.tobytes()).hexdigest()


def unpack(folder: Path, split: Path) -> None:
    """Write the split that `pack` packed into `folder`; shards that are there already are replaced.

    Raises:
        StageError: a shard is not what it was.
    """
    split.mkdir(parents=True, exist_ok=True)
    (split / INDEX).write_bytes((folder / INDEX).read_bytes())
    checksums: dict[str, str | None] = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda shard: _unpack(folder, split / shard[0], shard[1]), checksums.items()))


def _unpack(folder: Path, target: Path, checksum: str | None) -> None:
    packed = (folder / target.name).with_suffix(".ogg" if checksum is None else ".flac")
    try:
        samples, _ = soundfile.read(packed, dtype="int16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise StageError(f"{packed} cannot be read ({error}); copy the bundle again") from None
    data = samples.astype("<i2").tobytes()
    if checksum is not None and hashlib.sha256(data).hexdigest() != checksum:
        raise StageError(f"{packed} is damaged: it does not unpack to its shard; copy the bundle again")
    target.write_bytes(data)

"""Make a dataset: plan, shards, statistics."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from telucodec.codec import Codec
from telucodec.dataset import shards
from telucodec.dataset.reading import SUMMARY
from telucodec.dataset.recordings import Recording, find, shown
from telucodec.dataset.shards import Entry, Format
from telucodec.dataset.workers import Coder, Map, Rejected, mapping
from telucodec.errors import CodecError, DatasetError
from telucodec.files.whole import whole_file

PLAN = "plan.json"


def write(
    codec: Codec,
    folder: Path,
    out: Path,
    num_codebooks: int = 0,
    shard_size: int = 1000,
    file_format: Format = "webdataset",
    jobs: int = 1,
) -> dict:
    """Tokenise the recordings in `folder`, at any depth and also inside parquet files and WebDataset tars, into `out`.

    `out` may lie in `folder`.

    Args:
        codec: a codec with a token model.
        num_codebooks: 0: all.
        shard_size: recordings in a shard.
        file_format: of the shards.
        jobs: processes that code. With several, the calling script needs the usual `if __name__ == "__main__":`.

    Returns:
        What dataset.json holds. A recording that cannot be read is left out, and named in `rejected` with the reason.

    Raises:
        CodecError: `shard_size` or `jobs` is less than 1.
        DatasetError: there are no recordings, `out` holds a dataset of other recordings or settings, no such format, pyarrow is
            missing, or a process was killed.
        AudioError: a parquet file or a tar among the recordings is damaged or holds no audio.
    """
    from tqdm import tqdm

    if shard_size < 1 or jobs < 1:
        raise CodecError(f"shard_size and jobs must be at least 1, got {shard_size} and {jobs}")
    shards.check_format(file_format)
    recordings = find(folder, without=out)
    num_codebooks = codec.token_encoder(num_codebooks).num_codebooks
    settings = {"model": codec.model_id("tokens"), "num_codebooks": num_codebooks, "shard_size": shard_size}
    _check_plan(out, recordings, {**settings, "format": file_format})
    statistics = []
    with (
        tqdm(total=len(recordings), unit="recording", file=sys.stderr, disable=None) as bar,
        mapping(Coder(codec, num_codebooks), min(jobs, len(recordings))) as code,
    ):
        for number, start in enumerate(range(0, len(recordings), shard_size)):
            part = recordings[start : start + shard_size]
            path = out / f"tokens-{number:06d}{shards.SUFFIX[file_format]}"
            said = path.with_suffix(".json")
            if not said.exists():
                counts = np.zeros((num_codebooks, codec.codebook_size), np.int64)
                _write_json(said, _write_shard(path, start, part, code, counts, bar.update))
            else:
                bar.update(len(part))
            statistics.append(json.loads(said.read_text(encoding="utf-8")))
    summary = _summary(codec, num_codebooks, statistics)
    _write_json(out / SUMMARY, summary)
    return summary


def _check_plan(out: Path, recordings: list[Recording], settings: dict) -> None:
    """Start a dataset, or check that it is the one that was started."""
    sizes = {file: file.stat().st_size if file.is_file() else None for file in {each.file for each in recordings}}
    named = [(each.name, sizes[each.file]) for each in recordings]
    plan = {**settings, "recordings": hashlib.sha256(json.dumps(named).encode()).hexdigest()}
    path = out / PLAN
    if path.exists():
        begun = {"format": "webdataset", **json.loads(path.read_text(encoding="utf-8"))}  # once there was no other
        other = [name for name, value in plan.items() if begun.get(name) != value]
        if other:
            raise DatasetError(
                f"{out} holds a dataset with other {', '.join(other)}; name another folder, or remove it"
            )
        for left in out.glob(".tokens-*"):  # by a run that was killed
            left.unlink()
        return
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise DatasetError(f"{out} is not empty and holds no dataset; name another folder")
    _write_json(path, plan)


def _write_shard(
    path: Path,
    first: int,
    recordings: list[Recording],
    code: Map,
    counts: np.ndarray,
    done: Callable[[], object],
) -> dict[str, Any]:
    """Write a shard of recordings, the first of which has the number `first`; returns its statistics."""
    said: dict[str, Any] = {"recordings": 0, "seconds": 0.0, "frames": 0, "bits": 0.0, "rejected": []}
    with whole_file(path) as temporary, shards.writer(temporary) as add:
        for number, (recording, result) in enumerate(zip(recordings, code(recordings), strict=True), first):
            done()
            if isinstance(result, Rejected):
                said["rejected"].append({"source": shown(recording.name), "reason": result.reason})
                continue
            seconds, tokens, bits = result
            add(Entry(number, recording.name, seconds, tokens))
            counts += [np.bincount(row, minlength=counts.shape[1]) for row in tokens]
            said["recordings"] += 1
            said["seconds"] += seconds
            said["frames"] += tokens.shape[1]
            said["bits"] += bits
    return {**said, "counts": counts.tolist()}


def _summary(codec: Codec, num_codebooks: int, statistics: list[dict]) -> dict:
    counts = np.sum([np.array(shard["counts"], np.float64) for shard in statistics], axis=0)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    entropy = -np.sum(share * np.log2(share, where=share > 0, out=np.zeros_like(share)), axis=1)
    frames = sum(shard["frames"] for shard in statistics)
    bits = sum(shard["bits"] for shard in statistics)
    return {
        "model": codec.model_id("tokens"),
        "recordings": sum(shard["recordings"] for shard in statistics),
        "rejected": [rejected for shard in statistics for rejected in shard["rejected"]],
        "hours": sum(shard["seconds"] for shard in statistics) / 3600,
        "frames": frames,
        "frame_rate": codec.frame_rate,
        "num_codebooks": num_codebooks,
        "codebook_size": codec.codebook_size,
        "bits_per_frame": num_codebooks * (codec.codebook_size - 1).bit_length(),
        "bits_per_frame_in_a_file": round(bits / max(frames, 1), 2),
        "perplexity": [round(float(2**bits), 1) for bits in entropy],
        "entropy_bits": [round(float(bits), 3) for bits in entropy],
        "shards": len(statistics),
    }


def _write_json(path: Path, value: dict) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

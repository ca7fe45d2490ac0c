"""Stage `preprocess`: convert accepted recordings to 16 kHz mono clips in memory-mapped shards, split by speaker.

The manifest alone decides the layout, so that any number of processes can make the shards in any order with the same bytes.
Finished shards survive a kill; the next run makes the others.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, as_completed
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline.common import files, stage
from pipeline.common.cluster import executor
from pipeline.common.sections import Params, Preprocess
from pipeline.common.shards import FULL_SCALE, INDEX
from pipeline.common.stage import StageError
from pipeline.corpus import data_card, fingerprints, near_duplicates
from pipeline.corpus.near_duplicates import Stored
from pipeline.corpus.plan import SPLITS, Shard, Source, make_plan
from telucodec.audio import packs, reading
from telucodec.errors import AudioError

SAMPLE_BYTES = 2


def main(params: Params) -> None:
    plan = make_plan(params)
    with _alone():
        folder = _work_folder(plan, params.preprocess)
        try:
            with executor(params.cluster) as pool:
                build(plan, folder, params.preprocess, pool)
                duplicates = near_duplicates.find([_stored(shard, folder) for shard in plan], pool.map)
            files.write_text(files.NEAR_DUPLICATES, near_duplicates.report(duplicates))
            _publish(plan, folder)
        except OSError as error:
            size = sum(source.length for shard in plan for source in shard.sources) * SAMPLE_BYTES / 1e6
            raise StageError(
                f"cannot write the shards, {size:,.0f} MB in total: {error.strerror or error}. Finished ones are kept in "
                f"{folder}; free some space, then run `dvc repro` again"
            ) from None
    summary = {split: _summary(files.SHARDS / split, params.preprocess.sample_rate) for split in SPLITS}
    files.write_json(files.METRICS / "preprocess.json", summary)
    files.write_text(files.DATA_CARD, data_card.render(params, summary))
    for split, counts in summary.items():
        print(f"{split}: {counts['clips']} clips, {counts['minutes']:.1f} minutes, {counts['speakers']} speakers")
    if warning := near_duplicates.doubt(near_duplicates.listed()):
        print(f"warning: {warning}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait for other runs: all experiments share one work folder, and each run uses all cores."""
    with (files.work_folder("preprocess") / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another preprocess run to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _work_folder(plan: list[Shard], settings: Preprocess) -> Path:
    """The folder for finished shards of this plan; folders of other plans are removed."""
    described = [[shard.split, [[source.row, source.starts] for source in shard.sources]] for shard in plan]
    own = [Path(module) for module in (__file__, near_duplicates.__file__, fingerprints.__file__)]
    code = b"".join(path.read_bytes() for path in [*own, *sorted(Path(reading.__file__).parent.glob("*.py"))])
    key = hashlib.sha256(json.dumps([described, settings.model_dump()]).encode() + code).hexdigest()[:16]
    folder = files.work_folder(f"preprocess/{key}")
    for other in folder.parent.iterdir():
        if other.is_dir() and other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def build(plan: list[Shard], folder: Path, settings: Preprocess, pool: Executor) -> None:
    """Make the shards of a plan that are not in `folder` yet.

    Raises:
        StageError: a recording has changed since discover, or the cluster failed.
        OSError: a shard cannot be written, for example because the disk is full.
    """
    missing = [
        shard for shard in plan if not (_index(folder, shard).exists() and (folder / shard.split / shard.name).exists())
    ]
    minutes = sum(source.length for shard in missing for source in shard.sources) / settings.sample_rate / 60
    with tqdm(total=round(minutes, 1), desc="preprocess", unit="min", file=sys.stderr, disable=None) as bar:
        running = {pool.submit(make_shard, shard, folder, settings): shard for shard in missing}
        for done in as_completed(running):
            done.result()
            seconds = sum(source.length for source in running[done].sources) / settings.sample_rate
            bar.update(round(seconds / 60, 1))
    lost = [shard.name for shard in plan if not _index(folder, shard).exists()]
    if lost:
        raise StageError(
            f"shards {', '.join(lost)} were made but are not in {folder}; the machines of cluster.dask must share it"
        )


def _index(folder: Path, shard: Shard) -> Path:
    return folder / shard.split / f"{shard.name}.jsonl"


def _stored(shard: Shard, folder: Path) -> list[Stored]:
    """The recordings of a shard that is made."""
    ends = itertools.accumulate(source.length for source in shard.sources)
    path = folder / shard.split / shard.name
    return [
        Stored(shard.split, source.row["path"], path, end - source.length, source.length)
        for source, end in zip(shard.sources, ends, strict=True)
    ]


def make_shard(shard: Shard, folder: Path, settings: Preprocess) -> None:
    """Write one shard, its landmarks and, after that, its part of the index."""
    lines, offset = [], 0
    with files.whole_file(folder / shard.split / shard.name) as temporary, temporary.open("wb") as file:
        for source in shard.sources:
            peaks = _peaks(source, settings.sample_rate) if settings.normalize != "clip" else [0.0] * len(source.starts)
            levels = [normalisation(peak, settings.normalize) for peak in peaks]
            for number, audio in pieces(source, settings.sample_rate):
                file.write(normalised(audio, *levels[number]).tobytes())
            for start, end, (scale, gain) in zip(source.starts, source.ends, levels, strict=True):
                name = source.row["path"]
                record = {
                    "clip": name if len(source.starts) == 1 else f"{name}@{start / settings.sample_rate:g}",
                    "source": name,
                    "sha256": source.row["sha256"],
                    "speaker": source.row["speaker"],
                    "start": start / settings.sample_rate,
                    "shard": shard.name,
                    "offset": offset,
                    "length": end - start,
                    "scale": scale,
                    "gain": gain,
                }
                lines.append(json.dumps(record, ensure_ascii=False) + "\n")
                offset += end - start
    near_duplicates.write_landmarks(folder / shard.split / shard.name, [source.length for source in shard.sources])
    files.write_text(_index(folder, shard), "".join(lines))


def _peaks(source: Source, rate: int) -> list[float]:
    """The peak of each clip; reads the recording once more, since memory may not hold it."""
    peaks = [0.0] * len(source.starts)
    for number, audio in pieces(source, rate):
        peaks[number] = max(peaks[number], float(np.abs(audio).max()))
    return peaks


def pieces(source: Source, rate: int) -> Iterator[tuple[int, np.ndarray]]:
    """The recording as mono at `rate`, float32 [samples], in order; each piece with the number of the clip it belongs to.

    Raises:
        StageError: the file has changed since discover.
    """
    remedy = "it has changed since discover read it; run `dvc repro` again"
    number = place = 0
    try:
        with reading.opened(packs.source(source.path, source.row.get("key")), source.row["path"]) as recording:
            if recording.rate != source.row["rate"] or recording.channels != source.row["channels"]:
                raise StageError(f"{source.path}: {recording.channels} channels at {recording.rate} Hz; {remedy}")
            for block in reading.resampled(recording, rate, source.row["channel"]):
                block = block[: source.length - place]
                while len(block):
                    part = block[: source.ends[number] - place]
                    yield number, part
                    place, block = place + len(part), block[len(part) :]
                    number += place == source.ends[number]
    except AudioError as error:
        cause = str(error).removeprefix(f"{source.row['path']}: ")
        raise StageError(f"{source.path}: {cause}; {remedy}") from None
    if recording.frames != source.row["frames"]:
        raise StageError(f"{source.path}: {recording.frames} frames at {recording.rate} Hz; {remedy}")
    if place < source.length:  # resampling may end a sample early
        yield number, np.zeros(source.length - place, np.float32)


def normalisation(peak: float, how: str) -> tuple[float, float]:
    """The scale of a clip (the float value of full scale) and the gain that normalisation applies.

    Args:
        peak: of the clip.
        how: `clip`, `peak` or `none`, as in params.yaml.
    """
    if how == "peak" and peak > 0:
        return 1.0, 1 / peak
    return (max(1.0, peak) if how == "none" else 1.0), 1.0


def normalised(audio: np.ndarray, scale: float, gain: float) -> np.ndarray:
    """Audio [samples] as int16. With a scale and a gain of 1, 16-bit samples keep their exact values."""
    integers = np.round(audio * (gain / scale) * FULL_SCALE)
    return np.clip(integers, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")


def _publish(plan: list[Shard], folder: Path) -> None:
    with files.whole_folder(files.SHARDS) as target:
        for split in SPLITS:
            shards = [shard for shard in plan if shard.split == split]
            (target / split).mkdir()
            for shard in shards:
                (folder / split / shard.name).replace(target / split / shard.name)
            indices = [_index(folder, shard).read_text(encoding="utf-8") for shard in shards]
            files.write_text(target / split / INDEX, "".join(indices))
    shutil.rmtree(folder)


def _summary(folder: Path, rate: int) -> dict[str, float]:
    clips = list(files.read_lines(folder / INDEX))
    return {
        "clips": len(clips),
        "minutes": sum(clip["length"] for clip in clips) / rate / 60,
        "speakers": len({clip["speaker"] for clip in clips}),
    }


if __name__ == "__main__":
    stage.run(main)

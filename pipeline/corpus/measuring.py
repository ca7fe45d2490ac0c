"""Facts about recordings, from a cache where a file has not changed.

Size, time and inode tell whether it has, so that a second run is quick. Faults are not cached: a lost network drive is not a
property of the file.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from tqdm import tqdm

from pipeline.common import files
from pipeline.common.processes import workers
from pipeline.corpus.finding import Item
from telucodec.audio import folders, packs, reading
from telucodec.audio.mixing import Levels
from telucodec.errors import AudioError

NEAR_FULL_SCALE = 0.99  # samples from here on count as clipped; 8-bit audio ends at 127/128
PARALLEL = 64  # files from which worker processes pay off


def measure(items: list[Item]) -> list[dict[str, Any]]:
    """What `measure_item` says of every item."""
    cache = files.work_folder("discover") / "measured.json"
    code = b"".join(path.read_bytes() for path in [Path(__file__), *sorted(Path(reading.__file__).parent.glob("*.py"))])
    versions = f"{soundfile.__libsndfile_version__} {av.__version__}"
    version = hashlib.sha256(code + versions.encode()).hexdigest()
    known = _cached(cache, version)
    stamps = {file: _stamp(file) for file in {item.file for item in items}}
    places = {file: str(file.absolute()) for file in stamps}
    names = [f"{places[item.file]}#{item.key}" if item.key else places[item.file] for item in items]
    facts: dict[str, dict[str, Any]] = {}
    fresh = []
    for name, item in zip(names, items, strict=True):
        entry = known.get(name)
        if entry and entry["stamp"] == stamps[item.file]:
            facts[name] = entry["facts"]
        else:
            fresh.append((name, item))
    try:
        for (name, _), measured in zip(fresh, _measure_all([item for _, item in fresh]), strict=True):
            facts[name] = measured
    finally:  # an interrupted run keeps what it has measured
        if fresh:
            known = {name: entry for name, entry in known.items() if os.path.exists(entry["file"])}
            for name, item in fresh:
                if "reason" not in facts.get(name, {"reason": "not reached"}):
                    known[name] = {"file": places[item.file], "stamp": stamps[item.file], "facts": facts[name]}
            files.write_text(cache, json.dumps({"version": version, "files": known}))
    return [facts[name] for name in names]


def _cached(cache: Path, version: str) -> dict[str, dict[str, Any]]:
    """The entries of the cache; none if it is missing, damaged or of other code."""
    try:
        stored = json.loads(cache.read_text(encoding="utf-8"))
        return stored["files"] if stored["version"] == version else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:  # such as a broken link; reading it will give the reason
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _measure_all(items: list[Item]) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        results: Iterator[dict[str, Any]] = map(measure_item, items)
        if len(items) >= PARALLEL:
            results = stack.enter_context(workers()).map(measure_item, items, chunksize=8)
        yield from tqdm(results, total=len(items), desc="discover", unit="file", file=sys.stderr, disable=None)


def measure_item(item: Item) -> dict[str, Any]:
    """The figures of a manifest row, or `reason` and `detail` if it is not a whole recording."""
    if not (folders.has_utf8_name(item.file) and folders.has_utf8_name(item.path)):
        return {"reason": "name_not_utf8", "detail": "its name is not UTF-8, which the manifest needs; rename it"}
    try:
        return _figures(item)
    except AudioError as error:
        return {"reason": error.reason, "detail": str(error).removeprefix(f"{item.path}: ")}


def _figures(item: Item) -> dict[str, Any]:
    with reading.opened(packs.source(item.file, item.key), item.path) as recording:
        levels = Levels(recording.channels, recording.rate)
        digest = hashlib.sha256(f"{recording.rate} {recording.channels} ".encode())
        clipped = 0
        for block in recording.blocks:
            if recording.peak >= NEAR_FULL_SCALE:
                clipped += int((np.abs(block) >= NEAR_FULL_SCALE).sum())
            digest.update(np.ascontiguousarray(block).data)
            levels.add(block)
    if not recording.frames:
        return {"reason": "empty", "detail": "a header without samples"}
    if recording.fault:
        return dict(zip(("reason", "detail"), recording.fault, strict=True))
    return {
        "sha256": digest.hexdigest(),
        "container": recording.container,
        "seconds": recording.frames / recording.rate,
        "promised": recording.promised,
        "rate": recording.rate,
        "channels": recording.channels,
        "channel": levels.channel(),
        "frames": recording.frames,
        "peak": recording.peak,
        "rms": levels.rms(),
        "mono_rms": levels.mono_rms(),
        "clipped": clipped / (recording.frames * recording.channels),
    }

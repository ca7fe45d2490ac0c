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
from telucodec.audio import folders, reading
from telucodec.audio.mixing import Levels
from telucodec.errors import AudioError

NEAR_FULL_SCALE = 0.99  # samples from here on count as clipped; 8-bit audio ends at 127/128
PARALLEL = 64  # files from which worker processes pay off


def measure(paths: list[Path]) -> dict[Path, dict[str, Any]]:
    """What `measure_file` says of every file."""
    cache = files.work_folder("discover") / "measured.json"
    code = b"".join(path.read_bytes() for path in [Path(__file__), *sorted(Path(reading.__file__).parent.glob("*.py"))])
    versions = f"{soundfile.__libsndfile_version__} {av.__version__}"
    version = hashlib.sha256(code + versions.encode()).hexdigest()
    known = _cached(cache, version)
    stamps = {path: _stamp(path) for path in paths}
    facts, fresh = {}, []
    for path in paths:
        entry = known.get(str(path.absolute()))
        if entry and entry["stamp"] == stamps[path]:
            facts[path] = entry["facts"]
        else:
            fresh.append(path)
    try:
        for path, measured in zip(fresh, _measure_all(fresh), strict=True):
            facts[path] = measured
    finally:  # an interrupted run keeps what it has measured
        if fresh:
            known = {path: entry for path, entry in known.items() if os.path.exists(path)}
            for path in fresh:
                if "reason" not in facts.get(path, {"reason": "not reached"}):
                    known[str(path.absolute())] = {"stamp": stamps[path], "facts": facts[path]}
            files.write_text(cache, json.dumps({"version": version, "files": known}))
    return facts


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


def _measure_all(paths: list[Path]) -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        results: Iterator[dict[str, Any]] = map(measure_file, paths)
        if len(paths) >= PARALLEL:
            results = stack.enter_context(workers()).map(measure_file, paths, chunksize=8)
        yield from tqdm(results, total=len(paths), desc="discover", unit="file", file=sys.stderr, disable=None)


def measure_file(path: Path) -> dict[str, Any]:
    """The figures of a manifest row, or `reason` and `detail` if the file is not a whole recording."""
    if not folders.has_utf8_name(path):
        return {"reason": "name_not_utf8", "detail": "its name is not UTF-8, which the manifest needs; rename it"}
    try:
        return _figures(path)
    except AudioError as error:
        return {"reason": error.reason, "detail": str(error).removeprefix(f"{path}: ")}


def _figures(path: Path) -> dict[str, Any]:
    with reading.opened(path) as recording:
        levels, digest = Levels(recording.channels), hashlib.sha256(f"{recording.rate} {recording.channels} ".encode())
        clipped = 0
        for block in recording.blocks:
            if recording.peak >= NEAR_FULL_SCALE:
                clipped += int((np.abs(block) >= NEAR_FULL_SCALE).sum())
            digest.update(np.ascontiguousarray(block))
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

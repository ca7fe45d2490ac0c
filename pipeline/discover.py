"""Stage `discover`: find every recording below data.root and evaluate.root, open it, and judge it.

A bad file never becomes silence and never stops the run; too many of them do. What was measured of a file is remembered
until its size, time or inode changes, so that looking again is quick.
"""

import hashlib
import json
import math
import multiprocessing
import os
import re
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline import files, stage
from pipeline.audio import SUFFIXES, AudioError, read
from pipeline.params import Data, Params
from pipeline.stage import StageError

FULL_SCALE = 0.9999  # samples at or above count as clipped; 16-bit full scale is 0.99997
LISTED = 20  # rejected files named in an error
MEASURED = ("sha256", "seconds", "rate", "channels", "frames", "peak", "rms", "clipped")


@dataclass
class Found:
    """The recordings of one root."""

    name: str  # "data" or "evaluation"
    root: Path
    paths: list[Path]
    ignored: int  # files that are no audio by their ending


def main(params: Params) -> None:
    sets = [find("data", params.data.root)]
    if params.evaluate.root is not None:
        sets.append(find("evaluation", params.evaluate.root))
    rows = judge(sets, params.data)
    files.write_text(files.MANIFEST, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    files.write_text(files.REJECTED, report(sets, rows))
    files.write_json(files.METRICS / "discover.json", {found.name: _counts(found, rows) for found in sets})
    for found in sets:
        refuse_too_many(found, rows, params.data.max_rejected_fraction)


def find(name: str, root: str) -> Found:
    """Walk a folder, following links once each, leaving out hidden files and folders.

    Raises:
        StageError: no such folder, or no recording in it.
    """
    key = "data.root" if name == "data" else "evaluate.root"
    folder = files.resolve_root(root)
    if not folder.is_dir():
        raise StageError(f"{key} is {root!r}, but there is no folder {folder}; set it with -S {key}=DIR")
    paths, ignored, visited = [], 0, set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:  # a link back to a folder above
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(entry for entry in folders if not entry.startswith("."))
        for entry in names:
            if entry.startswith("."):
                continue
            if Path(entry).suffix.lower() in SUFFIXES:
                paths.append(Path(place, entry))
            else:
                ignored += 1
    if not paths:
        endings = " ".join(sorted(SUFFIXES))
        raise StageError(f"{key} is {root!r}: no recording in {folder} ({ignored} other files). Looked for {endings}")
    return Found(name, folder, sorted(paths), ignored)


def judge(sets: list[Found], data: Data) -> list[dict]:
    """One manifest row for each file, sorted by set and path."""
    measured = measure([path for found in sets for path in found.paths])
    rows = [_row(found, path, measured[path], data) for found in sets for path in found.paths]
    rows.sort(key=lambda row: (row["set"], row["path"]))
    _reject_duplicates(rows)
    return rows


def _row(found: Found, path: Path, facts: dict, data: Data) -> dict:
    relative = path.relative_to(found.root).as_posix()
    reason, detail = facts.get("reason"), facts.get("detail")
    if reason is None:
        reason, detail = _fault(facts, data) or (None, None)
    return {
        "set": found.name,
        "path": relative,
        **{name: facts.get(name) for name in MEASURED},
        "speaker": speaker(relative, data.speaker_pattern),
        "status": "ok" if reason is None else "rejected",
        "reason": reason,
        "detail": detail,
    }


def _fault(facts: dict, data: Data) -> tuple[str, str] | None:
    level = 20 * math.log10(max(facts["rms"], 1e-10))
    if facts["seconds"] < data.min_seconds:
        return "too_short", f"{facts['seconds']:.3f} s, data.min_seconds is {data.min_seconds:g}"
    if level < data.silence_dbfs:
        return "silent", f"RMS {level:.1f} dBFS, data.silence_dbfs is {data.silence_dbfs:g}"
    if facts["clipped"] > data.max_clipped_fraction:
        return "clipped", f"{facts['clipped']:.1%} at full scale, data.max_clipped_fraction is {data.max_clipped_fraction:g}"
    return None


def speaker(path: str, pattern: str) -> str:
    """The first group of `pattern` that matches in a relative path; a path that does not match is its own speaker."""
    match = re.search(pattern, path)
    named = [group for group in match.groups() if group] if match else []
    return named[0] if named else path


def _reject_duplicates(rows: list[dict]) -> None:
    """Keep one of several equal recordings; what is in the evaluation set is never also trained on."""
    first: dict[str, dict] = {}
    for row in sorted(rows, key=lambda row: (row["set"] != "evaluation", row["path"])):
        if row["status"] != "ok":
            continue
        kept = first.setdefault(row["sha256"], row)
        if kept is not row:
            where = "the evaluation set's " if kept["set"] != row["set"] else ""
            row.update(status="rejected", reason="duplicate", detail=f"the same audio as {where}{kept['path']}")


def measure(paths: list[Path]) -> dict[Path, dict]:
    """Facts about every file, from memory where the file has not changed."""
    memory = files.work_folder("discover") / "measured.json"
    version = hashlib.sha256(b"".join(Path(__file__).with_name(n).read_bytes() for n in ("discover.py", "audio.py"))).hexdigest()
    known = _remembered(memory, version)
    stamps = {path: _stamp(path) for path in paths}
    facts, fresh = {}, []
    for path in paths:
        remembered = known.get(str(path.absolute()))
        if remembered and remembered["stamp"] == stamps[path]:
            facts[path] = remembered["facts"]
        else:
            fresh.append(path)
    if fresh:
        facts.update(zip(fresh, _measure_all(fresh), strict=True))
        known.update({str(path.absolute()): {"stamp": stamps[path], "facts": facts[path]} for path in fresh})
        files.write_text(memory, json.dumps({"version": version, "files": known}))
    return facts


def _remembered(memory: Path, version: str) -> dict:
    try:
        stored = json.loads(memory.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return stored["files"] if stored["version"] == version else {}


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:  # a broken link, say; opening it will tell
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _measure_all(paths: list[Path]) -> list[dict]:
    progress = dict(total=len(paths), desc="discover", unit="file", file=sys.stderr, disable=None)
    if len(paths) < 64:  # starting processes would take longer
        return list(tqdm(map(measure_file, paths), **progress))
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        return list(tqdm(pool.map(measure_file, paths, chunksize=8), **progress))


def measure_file(path: Path) -> dict:
    """The numbers of a manifest row, or `reason` and `detail` where there is no audio to measure."""
    try:
        samples, rate = read(path)
    except AudioError as error:
        return {"reason": error.reason, "detail": error.detail}
    if not len(samples):
        return {"reason": "empty", "detail": "a header without samples"}
    if not np.isfinite(samples).all():
        return {"reason": "not_finite", "detail": "holds NaN or infinite samples"}
    digest = hashlib.sha256(f"{rate} {samples.shape[1]} ".encode() + samples.tobytes())
    return {
        "sha256": digest.hexdigest(),
        "seconds": len(samples) / rate,
        "rate": rate,
        "channels": samples.shape[1],
        "frames": len(samples),
        "peak": float(np.abs(samples).max()),
        "rms": float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))),
        "clipped": float((np.abs(samples) >= FULL_SCALE).mean()),
    }


def report(sets: list[Found], rows: list[dict]) -> str:
    """What was rejected and why, as Markdown."""
    lines = ["# Rejected recordings", ""]
    for found in sets:
        mine = [row for row in rows if row["set"] == found.name]
        rejected = [row for row in mine if row["status"] == "rejected"]
        lines += [f"## {found.name}: {len(rejected)} of {len(mine)} files", ""]
        lines += [f"{found.ignored} files with other endings were not looked at.", ""] if found.ignored else []
        for reason, count in sorted(Counter(row["reason"] for row in rejected).items()):
            lines += [f"### {reason} ({count})", ""]
            lines += [f"- `{row['path']}`: {row['detail']}" for row in rejected if row["reason"] == reason] + [""]
    return "\n".join(lines)


def _counts(found: Found, rows: list[dict]) -> dict:
    mine = [row for row in rows if row["set"] == found.name]
    accepted = [row for row in mine if row["status"] == "ok"]
    reasons = Counter(row["reason"] for row in mine if row["status"] == "rejected")
    return {
        "hours": sum(row["seconds"] for row in accepted) / 3600,
        "clips": len(accepted),
        "speakers": len({row["speaker"] for row in accepted}),
        "rejected": {"total": sum(reasons.values()), **dict(sorted(reasons.items()))},
    }


def refuse_too_many(found: Found, rows: list[dict], allowed: float) -> None:
    """Raise StageError with the list when more than the allowed share of the files was rejected, or none is left."""
    mine = [row for row in rows if row["set"] == found.name]
    rejected = [row for row in mine if row["status"] == "rejected"]
    print(f"{found.name}: {len(mine) - len(rejected)} recordings accepted, {len(rejected)} rejected ({found.root})")
    if len(rejected) < len(mine) and len(rejected) <= allowed * len(mine):
        return
    listed = "\n".join(f"  {row['path']}: {row['reason']}, {row['detail']}" for row in rejected[:LISTED])
    raise StageError(
        f"{len(rejected)} of {len(mine)} files below {found.root} were rejected, data.max_rejected_fraction allows "
        f"{allowed:g}:\n{listed}\nThe whole list is in {files.REJECTED}. Mend or remove the files, or set "
        "-S data.max_rejected_fraction=..."
    )


if __name__ == "__main__":
    stage.run(main)

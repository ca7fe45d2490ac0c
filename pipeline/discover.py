"""Stage `discover`: find every recording below data.root and evaluate.root, open it, and judge it.

A bad file never becomes silence and never stops the run; too many of them do. What was measured of a file is remembered
until its size, time or inode changes, so that looking again is quick.
"""

import hashlib
import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from codec.audio_files import SUFFIXES
from pipeline import files, stage
from pipeline.audio import AudioError, read
from pipeline.sections import Data, Params
from pipeline.stage import StageError
from pipeline.workers import workers

FULL_SCALE = 0.99  # a peak from here on may be clipped; 8-bit audio ends at 127/128
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
    """Every file below a folder that may be a recording by its ending, hidden ones left out.

    Raises:
        StageError: no such folder, one that cannot be listed, or no recording in it.
    """
    key = "data.root" if name == "data" else "evaluate.root"
    folder = files.resolve_root(root)
    if not os.path.isdir(folder):
        raise StageError(f"{key} is {root!r}, but there is no folder {folder}; set it with -S {key}=DIR")
    try:
        entries = list(_walk(folder))
    except OSError as error:
        remedy = f"make it readable or take it out of {key}"
        raise StageError(f"cannot list {error.filename}: {error.strerror}; {remedy}") from None
    paths = [path for path in entries if path.suffix.lower() in SUFFIXES]
    ignored = len(entries) - len(paths)
    if not paths:
        endings = " ".join(sorted(SUFFIXES))
        raise StageError(f"{key} is {root!r}: no recording in {folder} ({ignored} other files). Looked for {endings}")
    return Found(name, folder, sorted(paths), ignored)


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder. None is entered twice, a link to it least of all: no loops, no doubles."""
    pending, linked, entered = [folder], [], set()
    while pending or linked:
        place = pending.pop() if pending else linked.pop(0)
        real = os.path.realpath(place)
        if real in entered:
            continue
        entered.add(real)
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            path, group = Path(entry.path), linked if entry.is_symlink() else pending
            if os.path.isdir(path) if group is linked else entry.is_dir():  # isdir also takes a link to itself
                group.append(path)
            else:
                yield path


def judge(sets: list[Found], data: Data) -> list[dict]:
    """One manifest row for each file, sorted by set and path."""
    measured = measure([path for found in sets for path in found.paths])
    rows = [_row(found, path, measured[path], data) for found in sets for path in found.paths]
    rows.sort(key=lambda row: (row["set"], row["path"]))
    _reject_duplicates(rows)
    return rows


def _row(found: Found, path: Path, facts: dict, data: Data) -> dict:
    relative = os.fsencode(path.relative_to(found.root).as_posix()).decode("utf-8", "backslashreplace")
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
    level = 20 * math.log10(max(facts["heard"], 1e-10))
    if facts["seconds"] < data.min_seconds:
        return "too_short", f"{facts['seconds']:.3f} s, data.min_seconds is {data.min_seconds:g}"
    if level < data.silence_dbfs:
        return "silent", f"RMS {level:.1f} dBFS as mono without DC, data.silence_dbfs is {data.silence_dbfs:g}"
    if facts["clipped"] > data.max_clipped_fraction:
        limit = f"data.max_clipped_fraction is {data.max_clipped_fraction:g}"
        return "clipped", f"{facts['clipped']:.1%} at full scale, {limit}"
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
    """Facts about every file, from memory where the file has not changed.

    Faults are not remembered: a missing ffmpeg or a lost network drive is no property of the file.
    """
    memory = files.work_folder("discover") / "measured.json"
    code = b"".join(Path(__file__).with_name(name).read_bytes() for name in ("discover.py", "audio.py"))
    version = hashlib.sha256(code + soundfile.__libsndfile_version__.encode()).hexdigest()
    known = _remembered(memory, version)
    stamps = {path: _stamp(path) for path in paths}
    facts, fresh = {}, []
    for path in paths:
        remembered = known.get(str(path.absolute()))
        if remembered and remembered["stamp"] == stamps[path]:
            facts[path] = remembered["facts"]
        else:
            fresh.append(path)
    try:
        for path, found in zip(fresh, _measure_all(fresh), strict=True):
            facts[path] = found
    finally:  # an interrupted run keeps what it has
        if fresh:
            known = {path: entry for path, entry in known.items() if os.path.exists(path)}
            for path in fresh:
                if "reason" not in facts.get(path, {"reason": "not reached"}):
                    known[str(path.absolute())] = {"stamp": stamps[path], "facts": facts[path]}
            files.write_text(memory, json.dumps({"version": version, "files": known}))
    return facts


def _remembered(memory: Path, version: str) -> dict:
    try:
        stored = json.loads(memory.read_text(encoding="utf-8"))
        return stored["files"] if stored["version"] == version else {}
    except (OSError, ValueError, LookupError, TypeError):  # none yet, or not what this stage wrote: measured anew
        return {}


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:  # a broken link, say; opening it will tell
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _measure_all(paths: list[Path]) -> Iterator[dict]:
    progress = dict(total=len(paths), desc="discover", unit="file", file=sys.stderr, disable=None)
    if len(paths) < 64:  # starting processes would take longer
        yield from tqdm(map(measure_file, paths), **progress)
        return
    with workers() as pool:
        yield from tqdm(pool.map(measure_file, paths, chunksize=8), **progress)


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
    peak = float(np.abs(samples).max())
    digest = hashlib.sha256(f"{rate} {samples.shape[1]} ".encode() + samples.tobytes())
    return {
        "sha256": digest.hexdigest(),
        "seconds": len(samples) / rate,
        "rate": rate,
        "channels": samples.shape[1],
        "frames": len(samples),
        "peak": peak,
        "rms": float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))),
        "heard": float(samples.mean(axis=1).std(dtype=np.float64)),  # what training would hear: mono, without DC
        "clipped": float((np.abs(samples) >= 0.9999 * peak).mean()) if peak >= FULL_SCALE else 0.0,
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
    why = f", see {files.REJECTED}" if rejected else ""
    accepted = len(mine) - len(rejected)
    print(f"{found.name}: {accepted} recordings accepted, {len(rejected)} rejected ({found.root}){why}")
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

"""Stage `discover`: list every recording below data.root and evaluate.root, and accept or reject it.

A bad file is rejected with a reason; only too many of them stop the run. Measurements are cached until a file's size, time
or inode changes, so that a second run is quick.
"""

import contextlib
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
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from pipeline.common import files, stage
from pipeline.common.processes import workers
from pipeline.common.sections import Data, Params
from pipeline.common.stage import StageError
from telucodec.audio import reading
from telucodec.audio.reading import SUFFIXES
from telucodec.errors import AudioError

FULL_SCALE = 0.99  # a higher peak may be clipped; 8-bit audio ends at 127/128
CLIPPED = 0.9999  # of the peak: samples from here on count as clipped
LISTED = 20  # rejected files that an error message names
PARALLEL = 64  # files from which worker processes pay off
MEASURED = ("sha256", "seconds", "rate", "channels", "frames", "peak", "rms", "clipped")


@dataclass
class Corpus:
    """The recordings below one root."""

    name: str  # "data" or "evaluation"
    root: Path
    paths: list[Path]
    ignored: int  # number of files with other suffixes


def main(params: Params) -> None:
    corpora = [find("data", params.data.root)]
    if params.evaluate.root is not None:
        corpora.append(find("evaluation", params.evaluate.root))
    rows = judge(corpora, params.data)
    files.write_text(files.MANIFEST, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    files.write_text(files.REJECTED, report(corpora, rows))
    files.write_json(files.METRICS / "discover.json", {corpus.name: _counts(corpus, rows) for corpus in corpora})
    for corpus in corpora:
        refuse_too_many(corpus, rows, params.data.max_rejected_fraction)


def find(name: str, root: str) -> Corpus:
    """All files below a folder with the suffix of an audio file, except hidden ones.

    Raises:
        StageError: the folder does not exist, cannot be listed, or holds no recording.
    """
    key = "data.root" if name == "data" else "evaluate.root"
    folder = files.resolve_root(root)
    if not os.path.isdir(folder):
        raise StageError(f"{key} is {root!r}, but there is no folder {folder}; set it with -S {key}=DIR")
    try:
        entries = list(_walk(folder))
    except OSError as error:
        remedy = f"make it readable or move it out of {key}"
        raise StageError(f"cannot list {error.filename}: {error.strerror}; {remedy}") from None
    paths = [path for path in entries if path.suffix.lower() in SUFFIXES]
    ignored = len(entries) - len(paths)
    if not paths:
        suffixes = " ".join(sorted(SUFFIXES))
        raise StageError(
            f"{key} is {root!r}: no recording in {folder} ({ignored} other files). Searched for {suffixes}"
        )
    return Corpus(name, folder, sorted(paths), ignored)


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder. No folder is entered twice, not even through links, so there are no loops or duplicates."""
    pending, entered = [folder], set()
    linked: list[Path] = []
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
            if os.path.isdir(path) if group is linked else entry.is_dir():  # isdir copes with a link to itself
                group.append(path)
            else:
                yield path


def judge(corpora: list[Corpus], data: Data) -> list[dict[str, Any]]:
    """One manifest row per file, sorted by corpus and path."""
    measured = measure([path for corpus in corpora for path in corpus.paths])
    rows = [_row(corpus, path, measured[path], data) for corpus in corpora for path in corpus.paths]
    rows.sort(key=lambda row: (row["set"], row["path"]))
    _reject_duplicates(rows)
    return rows


def _row(corpus: Corpus, path: Path, facts: dict[str, Any], data: Data) -> dict[str, Any]:
    relative = os.fsencode(path.relative_to(corpus.root).as_posix()).decode("utf-8", "backslashreplace")
    reason, detail = facts.get("reason"), facts.get("detail")
    if reason is None:
        reason, detail = _fault(facts, data) or (None, None)
    return {
        "set": corpus.name,
        "path": relative,
        **{name: facts.get(name) for name in MEASURED},
        "speaker": speaker(relative, data.speaker_pattern),
        "status": "ok" if reason is None else "rejected",
        "reason": reason,
        "detail": detail,
    }


def _fault(facts: dict[str, Any], data: Data) -> tuple[str, str] | None:
    level = 20 * math.log10(max(facts["mono_rms"], 1e-10))
    if facts["seconds"] < data.min_seconds:
        return "too_short", f"{facts['seconds']:.3f} s, data.min_seconds is {data.min_seconds:g}"
    if level < data.silence_dbfs:
        return "silent", f"RMS {level:.1f} dBFS as mono without DC offset, data.silence_dbfs is {data.silence_dbfs:g}"
    if facts["clipped"] > data.max_clipped_fraction:
        limit = f"data.max_clipped_fraction is {data.max_clipped_fraction:g}"
        return "clipped", f"{facts['clipped']:.1%} at full scale, {limit}"
    return None


def speaker(path: str, pattern: str) -> str:
    """The first group of `pattern` that matches in a relative path; the path itself if the pattern does not match."""
    match = re.search(pattern, path)
    groups = [group for group in match.groups() if group] if match else []
    return groups[0] if groups else path


def _reject_duplicates(rows: list[dict[str, Any]]) -> None:
    """Keep one of several equal recordings, preferably that of the evaluation set, so that it is not trained on."""
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["set"] != "evaluation", row["path"])):
        if row["status"] != "ok":
            continue
        kept = first.setdefault(row["sha256"], row)
        if kept is not row:
            where = "the evaluation set's " if kept["set"] != row["set"] else ""
            row.update(status="rejected", reason="duplicate", detail=f"the same audio as {where}{kept['path']}")


def measure(paths: list[Path]) -> dict[Path, dict[str, Any]]:
    """Facts about every file, from the cache if the file has not changed.

    Faults are not cached: a missing ffmpeg or a lost network drive is not a property of the file.
    """
    cache = files.work_folder("discover") / "measured.json"
    code = b"".join(path.read_bytes() for path in [Path(__file__), *sorted(Path(reading.__file__).parent.glob("*.py"))])
    version = hashlib.sha256(code + soundfile.__libsndfile_version__.encode()).hexdigest()
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
    """The figures of a manifest row, or `reason` and `detail` if there is no audio to measure."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return {"reason": "name_not_utf8", "detail": "its name is not UTF-8, which the manifest needs; rename it"}
    try:
        samples, rate = reading.read_channels(path)
    except AudioError as error:
        return {"reason": error.reason, "detail": str(error).removeprefix(f"{path}: ")}
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
        "mono_rms": float(samples.mean(axis=1).std(dtype=np.float64)),  # of what training would get, without DC offset
        "clipped": float((np.abs(samples) >= CLIPPED * peak).mean()) if peak >= FULL_SCALE else 0.0,
    }


def report(corpora: list[Corpus], rows: list[dict[str, Any]]) -> str:
    """The rejected files with their reasons, as Markdown."""
    lines = ["# Rejected recordings", ""]
    for corpus in corpora:
        mine = [row for row in rows if row["set"] == corpus.name]
        rejected = [row for row in mine if row["status"] == "rejected"]
        lines += [f"## {corpus.name}: {len(rejected)} of {len(mine)} files", ""]
        lines += [f"{corpus.ignored} files with other suffixes were ignored.", ""] if corpus.ignored else []
        for reason, count in sorted(Counter(row["reason"] for row in rejected).items()):
            lines += [f"### {reason} ({count})", ""]
            lines += [f"- `{row['path']}`: {row['detail']}" for row in rejected if row["reason"] == reason] + [""]
    return "\n".join(lines)


def _counts(corpus: Corpus, rows: list[dict[str, Any]]) -> dict[str, Any]:
    mine = [row for row in rows if row["set"] == corpus.name]
    accepted = [row for row in mine if row["status"] == "ok"]
    reasons = Counter(row["reason"] for row in mine if row["status"] == "rejected")
    return {
        "hours": sum(row["seconds"] for row in accepted) / 3600,
        "clips": len(accepted),
        "speakers": len({row["speaker"] for row in accepted}),
        "rejected": {"total": sum(reasons.values()), **dict(sorted(reasons.items()))},
    }


def refuse_too_many(corpus: Corpus, rows: list[dict[str, Any]], allowed: float) -> None:
    """Print the number of accepted and rejected files.

    Raises:
        StageError: more than the allowed share of the files was rejected, or all of them.
    """
    mine = [row for row in rows if row["set"] == corpus.name]
    rejected = [row for row in mine if row["status"] == "rejected"]
    why = f", see {files.REJECTED}" if rejected else ""
    accepted = len(mine) - len(rejected)
    print(f"{corpus.name}: {accepted} recordings accepted, {len(rejected)} rejected ({corpus.root}){why}")
    if len(rejected) < len(mine) and len(rejected) <= allowed * len(mine):
        return
    listed = "\n".join(f"  {row['path']}: {row['reason']}, {row['detail']}" for row in rejected[:LISTED])
    raise StageError(
        f"{len(rejected)} of {len(mine)} files below {corpus.root} were rejected, but data.max_rejected_fraction is "
        f"{allowed:g}:\n{listed}\nThe full list is in {files.REJECTED}. Repair or remove the files, or set "
        "-S data.max_rejected_fraction=..."
    )


if __name__ == "__main__":
    stage.run(main)

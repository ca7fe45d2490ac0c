"""Stage `discover`: list every recording below data.root and evaluate.root, and accept or reject it.

A bad file is rejected with a reason; only too many of them stop the run. The manifest says what a recording is (`container`), how
long its header promises it to be (`promised`), and which channel is taken where the mean would lose the speech (`channel`).
"""

import json
import math
import os
from collections import Counter
from typing import Any

from pipeline.common import files, stage
from pipeline.common.sections import Data, Params
from pipeline.common.stage import StageError
from pipeline.corpus.finding import Corpus, Item, find
from pipeline.corpus.layouts import doubt, note
from pipeline.corpus.measuring import measure
from telucodec.audio.folders import has_utf8_name

LISTED = 20  # rejected files that an error message names
MEASURED = [
    "sha256",
    "container",
    "seconds",
    "promised",
    "rate",
    "channels",
    "channel",
    "frames",
    "peak",
    "rms",
    "clipped",
]


def main(params: Params) -> None:
    corpora = [find("data", params.data.root, params.data)]
    if params.evaluate.root is not None:
        corpora.append(find("evaluation", params.evaluate.root, params.data))
    rows = judge(corpora, params.data)
    files.write_text(files.MANIFEST, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    files.write_text(files.REJECTED, report(corpora, rows))
    files.write_json(files.METRICS / "discover.json", {corpus.name: _counts(corpus, rows) for corpus in corpora})
    for corpus in corpora:
        refuse_too_many(corpus, rows, params.data.max_rejected_fraction)
    counts = _counts(corpora[0], rows)
    for warning in filter(None, [doubt(counts["clips"], counts["speakers"]), note(params.data.corpus)]):
        print(f"warning: {warning}")


def judge(corpora: list[Corpus], data: Data) -> list[dict[str, Any]]:
    """One manifest row per file, sorted by corpus and path."""
    items = [(corpus, item) for corpus in corpora for item in corpus.items]
    measured = measure([item for _, item in items])
    rows = [_row(corpus, item, facts, data) for (corpus, item), facts in zip(items, measured, strict=True)]
    rows.sort(key=lambda row: (row["set"], row["path"]))
    _reject_duplicates(rows)
    return rows


def _row(corpus: Corpus, item: Item, facts: dict[str, Any], data: Data) -> dict[str, Any]:
    reason, detail = facts.get("reason"), facts.get("detail")
    if reason is None:
        reason, detail = _fault(facts, data) or (None, None)
    return {
        "set": corpus.name,
        "path": os.fsencode(item.path).decode("utf-8", "backslashreplace"),
        "key": item.key if item.key is None or has_utf8_name(item.key) else None,
        **{name: facts.get(name) for name in MEASURED},
        "speaker": item.speaker,
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


def report(corpora: list[Corpus], rows: list[dict[str, Any]]) -> str:
    """The rejected files with their reasons, as Markdown."""
    lines = ["# Rejected recordings", ""]
    for corpus in corpora:
        mine = [row for row in rows if row["set"] == corpus.name]
        rejected = [row for row in mine if row["status"] == "rejected"]
        lines += [f"## {corpus.name}: {len(rejected)} of {len(mine)} files", ""]
        lines += [f"{corpus.ignored} other files were ignored.", ""] if corpus.ignored else []
        for reason, count in sorted(Counter(row["reason"] for row in rejected).items()):
            lines += [f"### {reason} ({count})", ""]
            named = [row for row in rejected if row["reason"] == reason]
            lines += [f"- {files.as_code(row['path'])}: {files.one_line(row['detail'])}" for row in named] + [""]
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
    shown = [files.one_line(f"{row['path']}: {row['reason']}, {row['detail']}") for row in rejected[:LISTED]]
    listed = "\n".join(f"  {line}" for line in shown)
    raise StageError(
        f"{len(rejected)} of {len(mine)} files below {corpus.root} were rejected, but data.max_rejected_fraction is "
        f"{allowed:g}:\n{listed}\nThe full list is in {files.REJECTED}. Repair or remove the files, or set "
        "-S data.max_rejected_fraction=..."
    )


if __name__ == "__main__":
    stage.run(main)

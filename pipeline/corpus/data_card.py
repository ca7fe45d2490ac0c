"""The data card: figures about the recordings of a run, from the manifest and the splits."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable

from pipeline.common import files
from pipeline.common.sections import Params

TITLES = {"data": "Recordings", "evaluation": "Recordings to evaluate on"}
TEMPLATE = """# Data card

{sets}
## Splits
By {split_by}{evaluation}.

| | speakers | clips | minutes |
|---|---|---|---|
{splits}

## Processing
Channels averaged, or the strongest where they cancel or one is dead; resampled to {rate} Hz; levels as in
`preprocess.normalize={normalize}`; cut into clips of at most {clip:g} s;
16 bits. No denoising, trimming or equalisation.

## Unknown
The languages, the licence, and the consent of the speakers. Whoever publishes the recordings, or models trained on them, is
responsible for these and should add them to this card.
"""
SET = """## {title}
`{root}`: {hours:.2f} hours, {count} recordings, {speakers} speakers.

| | least | median | most |
|---|---|---|---|
{quantities}

Sample rates: {rates}. Channels: {channels}.

Rejected: {rejected}

"""


def render(params: Params, splits: dict[str, dict[str, float]]) -> str:
    """The card as Markdown.

    Args:
        splits: contents of metrics/preprocess.json.
    """
    rows = list(files.read_lines(files.MANIFEST))
    roots = {"data": params.data.root, "evaluation": params.evaluate.root}
    sets = [_set(name, root, [row for row in rows if row["set"] == name]) for name, root in roots.items() if root]
    return TEMPLATE.format(
        sets="".join(sets),
        split_by=params.preprocess.split_by,
        evaluation="; the test split is the folder to evaluate on" if params.evaluate.root else "",
        splits="\n".join(
            f"| {name} | {of['speakers']} | {of['clips']} | {of['minutes']:.1f} |" for name, of in splits.items()
        ),
        rate=params.preprocess.sample_rate,
        normalize=params.preprocess.normalize,
        clip=params.preprocess.clip_seconds,
    )


def _set(name: str, root: str, rows: list[dict]) -> str:
    accepted = [row for row in rows if row["status"] == "ok"]
    reasons = Counter(row["reason"] for row in rows if row["status"] == "rejected")
    quantities = {
        "seconds": [row["seconds"] for row in accepted],
        "RMS, dBFS": [20 * math.log10(max(row["rms"], 1e-10)) for row in accepted],
        "peak, dBFS": [20 * math.log10(max(row["peak"], 1e-10)) for row in accepted],
    }
    return SET.format(
        title=TITLES[name],
        root=root,
        hours=sum(row["seconds"] for row in accepted) / 3600,
        count=len(accepted),
        speakers=len({row["speaker"] for row in accepted}),
        quantities="\n".join(
            f"| {title} | {min(values):.1f} | {statistics.median(values):.1f} | {max(values):.1f} |"
            for title, values in quantities.items()
        ),
        rates=_counted(f"{row['rate']} Hz" for row in accepted),
        channels=_counted(row["channels"] for row in accepted),
        rejected=_counted(reasons.elements()) if reasons else "none",
    )


def _counted(values: Iterable[object]) -> str:
    return ", ".join(f"{value} ({count})" for value, count in Counter(values).most_common())

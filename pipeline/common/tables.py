"""Markdown tables from metrics files: `python -m pipeline.common.tables` updates those in README.md, docs/ and the model cards.

A table stands between `<!-- table: FILE -->` and `<!-- end of table -->`; the contents of FILE decide its form.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.common import files
from telucodec.errors import CodecError
from telucodec.operating_point import OperatingPoint

MEASURES = {
    "codebooks": "codebooks per frame",
    "snr": "SNR dB",
    "si_sdr": "SI-SDR dB",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
    "range_ratio": "range ratio",
}
VERDICTS = {  # what judges give: the measures of pipeline/judges, with the same titles
    "dnsmos_ovrl": "DNSMOS",
    "dnsmos_p808": "P.808",
    "distillmos": "DistillMOS",
    "visqol": "ViSQOL",
    "speaker_similarity": "speaker",
}
LEVELS = {f"level_bias_{low}": f"{low}-{2 * low} Hz" for low in (125, 250, 500, 1000, 2000, 4000)}
JUDGED = {"kbps": "kbit/s"} | VERDICTS | {"pesq_wb": MEASURES["pesq_wb"]} | LEVELS  # columns of the table of the judges
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def operating_points(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Means over clips by operating point, from a metrics/MODEL/evaluate.json; it holds other figures, too."""
    return {name: means for name, means in evaluation.items() if isinstance(means, dict) and "kbps" in means}


def shown(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Operating points as tables show them. PESQ-WB of tokens stands only beside judges, in `judged`: PESQ misjudges tokens."""
    return {
        name: {measure: value for measure, value in means.items() if measure != "pesq_wb" or not is_tokens(name)}
        for name, means in operating_points(evaluation).items()
    }


def judged(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The original and the operating points that judges heard, as `operating_points`; the original has no rate."""
    return {
        name: means
        for name, means in evaluation.items()
        if isinstance(means, dict) and not VERDICTS.keys().isdisjoint(means)
    }


def judged_columns(rows: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """The columns of `JUDGED` in which some row has a value, and their titles."""
    return {name: title for name, title in JUDGED.items() if any(name in row for row in rows.values())}


def judged_cell(name: str, row: Mapping[str, float]) -> str:
    """A value of `JUDGED` as text: levels in dB with their sign; empty where it is undefined."""
    if name not in row:
        return ""
    return f"{row[name]:+.1f}" if name in LEVELS else f"{row[name]:.{3 if name == 'speaker_similarity' else 2}f}"


def judged_caption(rows: Mapping[str, Mapping[str, float]]) -> str:
    """What the table of the judges holds."""
    clips = max(row["judged_clips"] for row in rows.values())
    return (
        f"Judges heard {clips:g} of the clips. Rate, PESQ-WB and the error of the level in each octave, in dB, are those of all "
        "clips. Higher is better, except for the rate; the error is best at 0."
    )


def points(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A table of operating points, without the measures that no point has.

    Args:
        rows: `kbps` and measures by the name of the operating point.
    """
    measures = [measure for measure in MEASURES if any(measure in row for row in rows.values())]
    lines = ["| | kbit/s | " + " | ".join(MEASURES[measure] for measure in measures) + " |"]
    lines.append("|---" * (len(measures) + 2) + "|")
    for name, row in rows.items():
        cells = [f"{row[measure]:.2f}" if measure in row else "undefined" for measure in ("kbps", *measures)]
        lines.append(f"| {as_option(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def evaluated(content: Mapping[str, Any]) -> str:
    """The tables of a metrics/MODEL/evaluate.json: the operating points, and the judges if there were any."""
    tables, heard = [points(shown(content))], judged(content)
    if heard:
        columns = judged_columns(heard)
        lines = ["| | " + " | ".join(columns.values()) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in heard.items():
            lines.append(f"| {as_option(name)} | " + " | ".join(judged_cell(column, row) for column in columns) + " |")
        tables += [judged_caption(heard), "\n".join(lines)]
    return "\n\n".join(tables)


def savings(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A table of Bjøntegaard-delta rates by name."""
    lines = ["| | bits | 95 % interval | between |", "|---|---|---|---|"]
    for name, row in rows.items():
        if "undefined" in row:
            lines.append(f"| {name} | {row['undefined']} | | |")
        else:
            between = f"{row['quality_from']:.2f} and {row['quality_to']:.2f}"
            lines.append(
                f"| {name} | {row['percent']:+.1f} % | {row['low']:+.1f} to {row['high']:+.1f} % | {between} |"
            )
    return "\n".join(lines)


def render(path: Path) -> str:
    """The tables of a metrics file: from `evaluate`, from `compare`, or one with ready-made `columns` and `rows`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if "columns" in content:
        lines = [content["columns"], ["---"] * len(content["columns"]), *content["rows"]]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if all(isinstance(value, list) for value in content.values()):
        return points({f"{name} {row['asked_kbps']:g}": row for name, rows in content.items() for row in rows})
    return evaluated(content) if operating_points(content) else savings(content)


def with_tables(text: str, root: Path = Path()) -> str:
    """A page with its tables up to date; `root` is the folder from which it names their files."""
    return MARKED.sub(lambda match: match[1] + render(root / match[2]) + "\n" + match[3], text)


def pages() -> list[Path]:
    return [Path("README.md"), *sorted(Path("docs").glob("*.md")), *sorted(Path("codec/weights").glob("*/README.md"))]


def as_option(point: str) -> str:
    """The options of `telucodec encode` for an operating point, as code; other names as they are."""
    try:
        return f"`{OperatingPoint.parse(point).option}`"
    except CodecError:
        return point


def label(point: str) -> str:
    """An operating point for people; other names as they are."""
    try:
        return OperatingPoint.parse(point).label
    except CodecError:
        return point


def is_tokens(point: str) -> bool:
    return point.startswith("tokens_")


def update(page: Path) -> None:
    """Write a page again if its tables differ from their files."""
    before = page.read_text(encoding="utf-8")
    after = with_tables(before)
    if after != before:
        files.write_text(page, after)
        print(f"{page}: tables updated")


def main() -> None:
    for page in pages():
        update(page)


if __name__ == "__main__":
    main()

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
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def operating_points(evaluation: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Means over clips by operating point, from a metrics/MODEL/evaluate.json; it holds other figures, too."""
    return {name: means for name, means in evaluation.items() if isinstance(means, dict) and "kbps" in means}


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
    """The table of a metrics file: from `evaluate`, from `compare`, or one with ready-made `columns` and `rows`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if "columns" in content:
        lines = [content["columns"], ["---"] * len(content["columns"]), *content["rows"]]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if all(isinstance(value, list) for value in content.values()):
        return points({f"{name} {row['asked_kbps']:g}": row for name, rows in content.items() for row in rows})
    return points(rows) if (rows := operating_points(content)) else savings(content)


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

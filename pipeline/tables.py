"""Tables in Markdown from metrics files: `python -m pipeline.tables` writes those of README.md, docs/ and the cards anew.

A table stands between `<!-- table: FILE -->` and `<!-- end of table -->`; what FILE holds decides what it looks like.
"""

import json
import re
import sys
from pathlib import Path

from pipeline import files

MEASURES = {
    "codebooks": "codebooks a frame",
    "snr": "SNR dB",
    "si_sdr": "SI-SDR dB",
    "pesq_wb": "PESQ-WB",
    "stoi": "STOI",
    "range_ratio": "range ratio",
}
OPTIONS = {  # of `telucodec encode`
    "codebooks": "--tokens {}",
    "shared": "--tokens --kbps {}",
    "snr": "--snr {}",
    "shaped": "--kbps {} --perception 1",
}
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def points(rows: dict[str, dict]) -> str:
    """Operating points by name with `kbps` and measures; a measure that none has is left out."""
    measures = [measure for measure in MEASURES if any(measure in row for row in rows.values())]
    lines = ["| | kbit/s | " + " | ".join(MEASURES[measure] for measure in measures) + " |"]
    lines.append("|---" * (len(measures) + 2) + "|")
    for name, row in rows.items():
        cells = [f"{row[measure]:.2f}" if measure in row else "undefined" for measure in ("kbps", *measures)]
        lines.append(f"| {as_option(name)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def savings(rows: dict[str, dict]) -> str:
    """Bjøntegaard-delta rates by name."""
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
    """The table of a metrics file: of `evaluate`, of `compare`, or one of ready-made `columns` and `rows`."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if "columns" in found:
        lines = [found["columns"], ["---"] * len(found["columns"]), *found["rows"]]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if all(isinstance(value, list) for value in found.values()):
        return points({f"{name} {row['asked_kbps']:g}": row for name, rows in found.items() for row in rows})
    rows = {name: row for name, row in found.items() if isinstance(row, dict)}
    return points(rows) if all("kbps" in row for row in rows.values()) else savings(rows)


def renewed(text: str, root: Path = Path()) -> str:
    """A page with its tables written anew; files are named from `root`."""
    return MARKED.sub(lambda found: found[1] + render(root / found[2]) + "\n" + found[3], text)


def pages() -> list[Path]:
    return [Path("README.md"), *sorted(Path("docs").glob("*.md")), *sorted(Path("codec/weights").glob("*/README.md"))]


def as_option(point: str) -> str:
    kind, _, value = point.partition("_")
    return f"`{OPTIONS[kind].format(value)}`" if kind in OPTIONS else point


def renew(page: Path) -> None:
    """Write a page's tables anew, if they are not what their files say."""
    before = page.read_text(encoding="utf-8")
    after = renewed(before)
    if after != before:
        files.write_text(page, after)
        print(f"{page}: tables renewed")


def main() -> None:
    for page in pages():
        renew(page)


if __name__ == "__main__":
    sys.exit(main())

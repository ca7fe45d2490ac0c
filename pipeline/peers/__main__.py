"""What codecs reach on your recordings: `python -m pipeline.peers FOLDER opus@8 lyra tokens_8 --judges dnsmos speaker`.

Rates of other codecs are those of their packets, ours those of whole files.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline import judges, peers
from pipeline.common import files
from pipeline.common.processes import workers
from pipeline.judges import table
from pipeline.judges.recordings import FolderError, read_folder
from pipeline.peers import targets
from pipeline.peers.targets import Target


def compare(clips: list[np.ndarray], wanted: list[Target], names: list[str]) -> dict[str, dict[str, float]]:
    """Means over clips of `targets.score` for each target, and of what judges say about the clips themselves, `original`.

    Args:
        clips: float32 [samples] at 16 kHz each.
        wanted: what to code with.
        names: judges to ask, besides the levels.
    """
    names = [*names, "levels"]
    with workers() as pool:
        pending = {"original": [pool.submit(judges.judge, names, clip, clip) for clip in clips]}
        pending |= {
            target.label: [pool.submit(targets.score, target, clip, names) for clip in clips] for target in wanted
        }
        jobs = tqdm(pending.items(), desc="compare", unit="row", file=sys.stderr, disable=None)
        return {label: table.means([job.result() for job in row]) for label, row in jobs}


def figure(rows: dict[str, dict[str, float]], clips: int, shown: dict[str, str]) -> dict:
    """The rows as a file of docs/figures: a table ready to print, and all values."""
    printed = [[label, *(table.cell(column, row) for column in shown)] for label, row in rows.items()]
    values = {label: table.defined(row) for label, row in rows.items()}
    return {"columns": ["", *shown.values()], "rows": printed, "clips": clips, "values": values}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.peers", description=__doc__)
    parser.add_argument("folder", type=Path, help="recordings, in any depth of folders")
    parser.add_argument(
        "codecs",
        nargs="*",
        metavar="CODEC",
        help=f"{', '.join(peers.PEERS)}, each with @KBPS for one rate only, or an operating point of ours such as tokens_8; "
        "without any, every codec that is installed",
    )
    parser.add_argument("--judges", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(judges.JUDGES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table and all values there")
    options = parser.parse_args(arguments)
    names = [name for name in options.judges if name != "levels"]
    try:
        judges.require(names)
        wanted = [target for word in options.codecs or peers.installed() for target in targets.parse(word)]
        clips = list(read_folder(options.folder).values())
    except (judges.JudgeError, peers.PeerError, FolderError) as error:
        sys.exit(f"error: {error}")
    rows, shown = compare(clips, wanted, names), table.columns(names, coded=True)
    print(f"{len(clips)} clips; means over clips\n\n{table.text(rows, shown)}")
    if options.json:
        files.write_json(options.json, figure(rows, len(clips), shown))


if __name__ == "__main__":
    main(sys.argv[1:])

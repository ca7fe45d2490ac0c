"""What judges say about folders of decoded speech: `python -m pipeline.judges REFERENCE_DIR DECODED_DIR...`.

A decoded folder holds, for each recording of the reference folder, one of the same name, whatever its format. Align them
first; a decoded clip is cut, or continued with silence, to the length of its reference.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from pipeline import judges
from pipeline.common import files
from pipeline.common.processes import workers
from pipeline.judges import table
from pipeline.judges.recordings import FolderError, fitted, read_folder


def compare(reference: Path, decoded: list[Path], names: list[str]) -> dict[str, dict[str, float]]:
    """Means over clips of what judges say about the reference itself, `original`, and about each decoded folder.

    Raises:
        FolderError: a folder holds no recordings, or lacks one of the reference's.
    """
    clips = read_folder(reference)
    versions = {"original": clips}
    for folder in decoded:
        others = read_folder(folder)
        if missing := sorted(clips.keys() - others.keys()):
            raise FolderError(
                f"{folder} lacks {len(missing)} of the {len(clips)} recordings of {reference}, {missing[0]} first"
            )
        versions[str(folder)] = {name: fitted(clip, others[name]) for name, clip in clips.items()}
    with workers() as pool:
        pending = {
            version: [pool.submit(judges.judge, names, clips[name], audio[name]) for name in clips]
            for version, audio in versions.items()
        }
        jobs = tqdm(pending.items(), desc="judge", unit="folder", file=sys.stderr, disable=None)
        return {version: table.means([job.result() for job in row]) for version, row in jobs}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.judges", description=__doc__)
    parser.add_argument("reference", type=Path, help="folder of original recordings, in any depth of folders")
    parser.add_argument("decoded", type=Path, nargs="*", help="folders with the same recordings, decoded")
    known = list(judges.JUDGES)
    parser.add_argument(
        "--judges", nargs="+", default=known, metavar="NAME", help=f"of {', '.join(known)}; default: all"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all values there")
    options = parser.parse_args(arguments)
    try:
        judges.require(options.judges)
        rows = compare(options.reference, options.decoded, options.judges)
    except (judges.JudgeError, FolderError) as error:
        sys.exit(f"error: {error}")
    print(table.text(rows, table.columns(options.judges, coded=False)))
    if options.json:
        files.write_json(options.json, {name: table.defined(row) for name, row in rows.items()})


if __name__ == "__main__":
    main(sys.argv[1:])

"""Take in what `run.sh` wrote on the machine with the GPU: `python -m pipeline.gpu.results DIR [--bundle DIR]`.

The weights go into a folder that `train.start_from` can name, the figures into docs/figures/gpu.json.
"""

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline.common import files
from pipeline.common.stage import StageError
from pipeline.gpu import identity
from pipeline.gpu.bundle import OUTPUT
from pipeline.gpu.outputs import CHECKS, FIGURES

WEIGHTS = Path("build/gpu-weights")  # ignored by git, unknown to DVC
PAGE = Path("docs/figures/gpu.json")


def take_in(results: Path, bundle: Path) -> Path | None:
    """Check the results, keep their weights and write the figures.

    Args:
        results: folder that `run.sh` wrote.
        bundle: folder of the bundle that it ran.

    Returns:
        The folder for `train.start_from`; None if the run was killed before its first epoch.

    Raises:
        StageError: there are no results, they belong to another bundle, or a file is damaged.
    """
    figures = _read(results / FIGURES)
    other = identity.differing(figures["ids"], identity.read(bundle))
    if other:
        parts = ", ".join(other)
        raise StageError(f"{results} does not belong to {bundle}: {parts} differ; name its own bundle with --bundle")
    checksums: dict[str, str] = figures.get("sha256", {})
    for name, checksum in checksums.items():
        if not (results / name).exists() or hashlib.sha256((results / name).read_bytes()).hexdigest() != checksum:
            raise StageError(f"{results / name} is missing or damaged; copy the results again")
    checks = _read(results / CHECKS) if (results / CHECKS).exists() else {}
    files.write_json(PAGE, summary(figures, checks))
    if not checksums:
        return None
    folder = WEIGHTS / checksums["model.safetensors"][:8]
    with files.whole_folder(folder / "tokens") as temporary:
        for name in checksums:
            shutil.copy(results / name, temporary)
    return folder


def summary(figures: dict[str, Any], checks: dict[str, Any]) -> dict[str, Any]:
    """The figures for the documentation: a table as `pipeline.common.tables` shows it, and all numbers behind it."""
    machine, seconds = figures["machine"], figures.get("seconds", {})
    rows = [["GPU", str(machine["gpu"])], ["PyTorch, CUDA, driver", _versions(machine)]]
    start = [seconds.get(name) for name in ("install", "unpack", "initialise")]
    if all(part is not None for part in start):
        rows.append(["from unpacking to the first step", f"{sum(start):.0f} s"])
    for row in checks.get("throughput", {}).get("numbers", {}).get("rows", []):
        label = f"training, batch {row['batch']}, {row['phase'].replace('_', ' ')}"
        rows.append([label, "out of memory" if row.get("out_of_memory") else _speed(row)])
    for name, row in checks.items():
        rows.append([f"check: {name}", row["result"] + (f" ({row['reason']})" if "reason" in row else "")])
    if training := figures.get("training"):
        state = "" if training["finished"] else ", not finished"
        rows.append(["training", f"{training['minutes']:.1f} minutes, {training['steps']} steps{state}"])
    return {"columns": ["measured", "value"], "rows": rows, **figures, "checks": checks}


def _versions(machine: dict[str, Any]) -> str:
    return ", ".join(str(machine.get(name)) for name in ("torch", "cuda", "driver"))


def _speed(row: dict[str, Any]) -> str:
    memory = f", {row['peak_gib']:.1f} GiB" if "peak_gib" in row else ""
    return f"{row['audio_seconds_per_second']:,.0f} audio-seconds per second{memory}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(f"{path} cannot be read ({error}); name the results folder of run.sh") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.gpu.results", description="Take in results from a GPU.")
    parser.add_argument("results", type=Path, metavar="DIR", help="the results folder of run.sh")
    parser.add_argument("--bundle", type=Path, default=OUTPUT, help=f"the bundle that was run (default: {OUTPUT})")
    arguments = parser.parse_args()
    try:
        folder = take_in(arguments.results, arguments.bundle)
    except StageError as error:
        sys.exit(f"error: {error}")
    print(f"{PAGE} written")
    if folder is None:
        print("no weights: the run ended before its first epoch")
    else:
        print(f"weights in {folder}; train on from them with -S train.start_from={folder}")


if __name__ == "__main__":
    main()

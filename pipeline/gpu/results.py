"""Take in what `run.sh` wrote on the machine with the GPU: `python -m pipeline.gpu.results DIR [--bundle DIR]`.

The weights go into a folder from which trainings can start, the figures into docs/figures/gpu.json.
"""

import argparse
import hashlib
import json
import statistics
import sys
import zipfile
from pathlib import Path
from typing import Any

from pipeline.common import files
from pipeline.common.stage import StageError
from pipeline.gpu import identity, lanes
from pipeline.gpu.bundle import OUTPUT
from pipeline.gpu.outputs import CHECKS, FIGURES, HISTORY, archive
from pipeline.training import start_from
from telucodec.networks.tokens import adversary

WEIGHTS = Path("build/gpu-weights")  # ignored by git, unknown to DVC
PAGE = Path("docs/figures/gpu.json")
NAMES = start_from.WEIGHTS, "config.json", adversary.FILE, HISTORY, FIGURES  # in the archive of a model


def take_in(results: Path, bundle: Path) -> Path | None:
    """Check the results, keep their weights and write the figures.

    Args:
        results: folder that `run.sh` wrote.
        bundle: folder of the bundle that it ran.

    Returns:
        The folder for `start_from`, in the layout of `codec/weights`; None if the run was killed before its first epoch.

    Raises:
        StageError: there are no results, they belong to another bundle, or a file is damaged.
    """
    figures = _read(results / FIGURES)
    other = identity.differing(figures["ids"], identity.read(bundle))
    if other:
        parts = ", ".join(other)
        raise StageError(f"{results} does not belong to {bundle}: {parts} differ; name its own bundle with --bundle")
    archives = {model: results / archive(model) for model in lanes.MODELS if (results / archive(model)).exists()}
    trained = {model: _contents(path) for model, path in archives.items()}
    checks = _read(results / CHECKS) if (results / CHECKS).exists() else {}
    trainings = {model: json.loads(contents[FIGURES]) for model, contents in trained.items()}
    files.write_json(PAGE, summary(figures, checks, trainings))
    if not trained:
        return None
    digest = hashlib.sha256(b"".join(contents[start_from.WEIGHTS] for contents in trained.values()))
    place = WEIGHTS / digest.hexdigest()[:8]
    with files.whole_folder(place) as folder:
        for model, contents in trained.items():
            lanes.folder(model, folder).mkdir(parents=True, exist_ok=True)
            for name, data in contents.items():
                (lanes.folder(model, folder) / name).write_bytes(data)
    return place


def summary(figures: dict[str, Any], checks: dict[str, Any], trainings: dict[str, Any]) -> dict[str, Any]:
    """The figures for the documentation: a table as `pipeline.common.tables` shows it, and all numbers behind it."""
    machine, seconds = figures["machine"], figures.get("seconds", {})
    rows = [["GPU", str(machine["gpu"])], ["PyTorch, CUDA, driver", _versions(machine)]]
    start = [seconds.get(name) for name in ("install", "unpack")]
    if all(part is not None for part in start):
        rows.append(["installing and unpacking", f"{sum(start):.0f} s"])
    for row in checks.get("throughput", {}).get("numbers", {}).get("rows", []):
        label = f"training alone, {row['model']}, batch {row['batch']}"
        rows.append([label, "out of memory" if row.get("out_of_memory") else _speed(row)])
    for name, row in checks.items():
        rows.append([f"check: {name}", row["result"] + (f" ({row['reason']})" if "reason" in row else "")])
    for model, training in trainings.items():
        state = "" if training["finished"] else ", not finished"
        speed = statistics.median(training["audio_seconds_per_second"] or [0.0])
        told = f"{training['minutes']:.1f} minutes, {training['steps']:,} steps, {speed:,.0f} audio-seconds per second"
        rows.append([f"training beside the others, {model}, batch {training['batch']}", told + state])
    return {"columns": ["measured", "value"], "rows": rows, **figures, "checks": checks, "training": trainings}


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


def _contents(path: Path) -> dict[str, bytes]:
    """The files in the archive of a model.

    Raises:
        StageError: the archive is damaged.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            contents = {name: packed.read(name) for name in packed.namelist() if name in NAMES}
        json.loads(contents[FIGURES])
        if start_from.WEIGHTS not in contents:
            raise KeyError(start_from.WEIGHTS)
        return contents
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise StageError(f"{path} is damaged ({error}); copy the results again") from None


def starting(folder: Path) -> str:
    """The arguments with which trainings start from the weights in a folder."""
    there = [model for model in lanes.MODELS if lanes.folder(model, folder).exists()]
    return " ".join(
        f"-S {lanes.section(model)}train.start_from={lanes.folder(model, folder).parent}" for model in there
    )


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
        print(f"weights in {folder}; train on from them with {starting(folder)}")


if __name__ == "__main__":
    main()

"""Run the fix ladder and write its results: `python -m pipeline.ladder [FILE] [--jobs N]`.

Every rung is one DVC experiment per seed, trained on data.root of params.yaml and named fix-NN-NAME-sSEED or
without-NAME-sSEED; `dvc params diff` and `dvc metrics diff` compare any two. Experiments that are finished on this commit are
not run again, so an interrupted command can be repeated.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from pipeline.common import params, tables
from pipeline.common.dvc_repo import DvcError
from pipeline.ladder import page, plan, reasons, runs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.ladder", description="Run the fix ladder.")
    parser.add_argument("file", nargs="?", type=Path, default=Path("fixes.yaml"))
    parser.add_argument("--jobs", type=int, default=2, help="experiments side by side (default: 2)")
    arguments = parser.parse_args()
    try:
        ladder = plan.read(arguments.file)
        rungs, undone = (
            perform(group, ladder.seeds, arguments.jobs) for group in (plan.ladder(ladder), plan.without(ladder))
        )
    except (ValueError, RuntimeError, subprocess.CalledProcessError, DvcError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command to continue")
    page.write("fixes", "One more fix per rung", rungs)
    page.write("without", "All fixes but one", undone)
    reasons.write(params.load_with(ladder.train))
    tables.update(page.PAGE)


def perform(group: list[plan.Run], seeds: list[int], jobs: int) -> list[tuple[plan.Run, list[runs.Result]]]:
    """Run a group with all seeds, `jobs` at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        pending = [[pool.submit(runs.perform, run, seed) for seed in seeds] for run in group]
        results = []
        try:
            for run, futures in tqdm(zip(group, pending, strict=True), total=len(group), unit="rung", file=sys.stderr):
                results.append((run, [future.result() for future in futures]))
                tqdm.write(" | ".join(page.row(*results[-1])))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


if __name__ == "__main__":
    main()

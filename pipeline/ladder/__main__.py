"""Run the fix ladder and write what came out: `python -m pipeline.ladder [FILE] [--jobs N]`.

Every rung is a DVC experiment for each seed, trained on data.root of params.yaml and named fix-NN-NAME-sSEED or
without-NAME-sSEED: `dvc params diff` and `dvc metrics diff` compare any two. What is finished on this commit is not run again;
interrupted, the same command goes on.
"""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from pipeline import params, tables
from pipeline.ladder import page, plan, reasons, runs


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.ladder", description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=Path("fixes.yaml"))
    parser.add_argument("--jobs", type=int, default=2, help="experiments side by side (default: 2)")
    arguments = parser.parse_args()
    try:
        chosen = plan.read(arguments.file)
        climbed, taken_away = (
            perform(group, chosen.seeds, arguments.jobs) for group in (plan.ladder(chosen), plan.without(chosen))
        )
    except (ValueError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from what is finished")
    page.write("fixes", "One fix more each", climbed)
    page.write("without", "All fixes but one", taken_away)
    training = params.load_with(chosen.train).train
    reasons.write(training.epochs * training.steps_per_epoch)
    tables.renew(page.PAGE)


def perform(group: list[plan.Run], seeds: list[int], jobs: int) -> list[tuple[plan.Run, list[runs.Result]]]:
    """All runs of a group with all seeds, `jobs` at a time."""
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

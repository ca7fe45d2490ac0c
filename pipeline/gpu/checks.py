"""Checks of a machine and of the code on it, each in a box of time: `python -m pipeline.gpu.checks RESULTS_DIR SECONDS MODEL...`.

They run in the folder that holds params.yaml and data/shards. checks.json gets the verdict and the numbers of each, as soon as it
ends. Without a GPU all of them run in a small version.
"""

import contextlib
import functools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from pipeline.common import files
from pipeline.common import params as parameters
from pipeline.gpu import agreement, repeats, speed
from pipeline.gpu.bench import Bench
from pipeline.gpu.outputs import CHECKS, PROFILE
from pipeline.training import device

GRACE_SECONDS = 20  # a check that does not even end when its time is over is ended with its process

Verdict = dict[str, Any]

LATE: Verdict = {"result": "skipped", "reason": "no time was left"}


@dataclass(frozen=True)
class Check:
    """A measurement, and the bounds that its numbers must keep.

    Args:
        seconds: the most that it may take on a GPU.
    """

    measure: Callable[[Bench], dict[str, Any]]
    seconds: float
    at_most: Mapping[str, float] = field(default_factory=dict)


def every(profile: Path) -> dict[str, Check]:
    """All checks by name, the most important first. The kernel table goes into the file `profile`."""
    return {
        "devices": Check(agreement.devices, 20, {"loss_error": 1e-3, "gradient_error": 0.02, "codes_differing": 0.005}),
        "repeat": Check(repeats.repeat, 20, {"tensors_differing": 0}),
        "resume": Check(repeats.resume, 15, {"tensors_differing": 0}),
        "full_float32": Check(
            agreement.full_float32, 10, {"codes_differing": 0.01, "transform_error": 1e-5, "spectra_error": 1e-4}
        ),
        "half": Check(agreement.half, 10, {"loss_error": 0.1, "gradient_error": 0.5, "codes_differing": 0.2}),
        "throughput": Check(speed.throughput, 45),
        "waiting": Check(speed.waiting, 20, {"share": 0.2}),
        "kernels": Check(functools.partial(speed.kernels, table=profile), 25),
        "curve": Check(repeats.curve, 30, {"rise": 0.05}),
        "compiled": Check(agreement.compiled, 75, {"first_loss_error": 0.02, "mean_loss_error": 0.05}),
    }


def run(results: Path, models: Sequence[str], seconds: float) -> dict[str, Verdict]:
    """Do the checks that checks.json does not hold yet, and write it after each. One that cannot start in time is skipped."""
    deadline = time.monotonic() + seconds
    bench = Bench(device.choose("auto"), tuple(models))
    checks = every(results / PROFILE)
    verdicts = read(results)
    for name, check in checks.items():
        if name in verdicts:
            continue
        # What is written first stays if the check takes the process down with it.
        write(results, verdicts | {name: {"result": "failed", "reason": "it ended the process"}})
        verdicts[name] = _judge(check, bench, deadline - time.monotonic())
        write(results, verdicts)
        print(f"check {name}: {_said(verdicts[name])}", flush=True)
        if not bench.small:
            torch.cuda.empty_cache()
    return verdicts


def in_own_process(results: Path, models: Sequence[str], seconds: float) -> dict[str, Verdict]:
    """As `run`, in processes of their own: a check that crashes or hangs costs only itself, and no GPU memory stays behind."""
    deadline = time.monotonic() + seconds
    names = list(every(results / PROFILE))
    while len(before := read(results)) < len(names):
        left = deadline - time.monotonic()
        if left > 0:
            command = [sys.executable, "-m", "pipeline.gpu.checks", str(results), str(left), *models]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(command, timeout=left + GRACE_SECONDS)
        if len(read(results)) == len(before):
            rest = LATE if left <= 0 else {"result": "failed", "reason": "the process of the checks did not start"}
            write(results, dict.fromkeys(names, rest) | before)
    return read(results)


def read(results: Path) -> dict[str, Verdict]:
    try:
        return json.loads((results / CHECKS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def write(results: Path, verdicts: Mapping[str, Verdict]) -> None:
    files.write_json(results / CHECKS, verdicts)


def _judge(check: Check, bench: Bench, left: float) -> Verdict:
    """The verdict on one check, which gets at most `left` seconds."""
    if left <= 0:
        return LATE
    began = time.monotonic()
    box = left if bench.small else min(check.seconds, left)
    try:
        with _time_box(box):
            numbers = check.measure(bench)
    except TimeoutError as error:
        return {"result": "skipped" if box == left else "failed", "reason": str(error)}
    except Exception as error:  # whatever it is, the other checks and the training go on
        return {"result": "failed", "reason": f"{type(error).__name__}: {error}"[:500]}
    beyond = [name for name, bound in check.at_most.items() if not numbers[name] <= bound]
    verdict = {"result": "failed" if beyond else "passed", "seconds": time.monotonic() - began, "numbers": numbers}
    if beyond:
        verdict["reason"] = ", ".join(
            f"{name} is {numbers[name]:.3g}, allowed {check.at_most[name]:g}" for name in beyond
        )
    return verdict | ({"at_most": dict(check.at_most)} if check.at_most else {})


@contextlib.contextmanager
def _time_box(seconds: float) -> Iterator[None]:
    """
    Raises:
        TimeoutError: the block took longer.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _said(verdict: Verdict) -> str:
    numbers = verdict.get("numbers", {})
    plain = [f"{name} {value:.3g}" for name, value in numbers.items() if isinstance(value, int | float)]
    seconds = [f"{verdict['seconds']:.1f} s"] if "seconds" in verdict else []
    return "; ".join(
        [verdict["result"], *([verdict["reason"]] if "reason" in verdict else []), *seconds, ", ".join(plain)]
    )


def main(results: Path, seconds: float, models: Sequence[str]) -> None:
    with device.reproducible(parameters.load().train.threads):
        run(results, models, seconds)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])

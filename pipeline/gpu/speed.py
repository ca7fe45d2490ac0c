"""How fast does it train, how much memory does that take, and what does the GPU wait for?"""

import statistics
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from pipeline.common import params as parameters
from pipeline.gpu.bench import Bench
from pipeline.training.loop import Run

BATCHES = 16, 64, 256, 512  # besides that of params.yaml
ROWS = 25  # kernels in the table of the profile
PHASES = {"codec": 0.0, "with_discriminator": 1.0}  # weight of the discriminator, if params.yaml gives it none


def throughput(bench: Bench) -> dict[str, Any]:
    """Audio-seconds per second and peak memory, by batch size, without and with the discriminator."""
    loop = parameters.load().train
    batches = [loop.batch] if bench.small else sorted({loop.batch, *BATCHES})
    rows: list[dict[str, Any]] = []
    for phase in PHASES:
        run = _started(bench, phase)
        for batch in batches:
            try:
                rows.append({"phase": phase, "batch": batch, **_measure(bench, run, batch)})
            except torch.cuda.OutOfMemoryError:
                rows.append({"phase": phase, "batch": batch, "out_of_memory": True})
                break
    own = [row["steps_per_second"] for row in rows if row["batch"] == loop.batch and "steps_per_second" in row]
    return {"rows": rows, "steps_per_second": min(own)}


def waiting(bench: Bench) -> dict[str, Any]:
    """The share of a step's time that goes into its crops."""
    run = _started(bench, "with_discriminator")
    run.steps(bench.sized(3, 1))
    crops, steps = [], []
    for _ in range(bench.sized(10, 2)):
        with bench.timed() as watch:
            run.crops(run.settings.batch)
        crops.append(watch.seconds)
        with bench.timed() as watch:
            run.steps(1)
        steps.append(watch.seconds)
    crop_seconds, step_seconds = statistics.median(crops), statistics.median(steps)
    return {"share": crop_seconds / step_seconds, "crop_seconds": crop_seconds, "step_seconds": step_seconds}


def kernels(bench: Bench, table: Path) -> dict[str, Any]:
    """Profile some steps; the slowest kernels go into the file `table`. `busy` is the share of time with a kernel running."""
    run = _started(bench, "with_discriminator")
    run.steps(bench.sized(3, 1))
    activities = [ProfilerActivity.CPU] if bench.small else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    steps = bench.sized(3, 1)
    with bench.timed() as alone:
        run.steps(steps)
    with profile(activities=activities) as profiler:
        run.steps(steps)
        bench.synchronise()
    averages = profiler.key_averages()
    order = "self_cpu_time_total" if bench.small else "self_device_time_total"
    table.write_text(averages.table(sort_by=order, row_limit=ROWS, max_name_column_width=70), encoding="utf-8")
    if bench.small:
        return {"steps": steps}
    # Profiling slows the processor down, not the kernels: their time is compared with that of steps without it.
    working = sum(row.self_device_time_total for row in averages if row.device_type.name == "CUDA") / 1e6
    launches = sum(row.count for row in averages if row.key.startswith(("cudaLaunchKernel", "cuLaunchKernel")))
    return {"steps": steps, "busy": working / alone.seconds, "launches_per_step": launches / steps}


def _measure(bench: Bench, run: Run, batch: int) -> dict[str, float]:
    run.settings = run.settings.model_copy(update={"batch": batch})
    run.steps(bench.sized(3, 1))
    if not bench.small:
        torch.cuda.reset_peak_memory_stats()
    steps = bench.sized(8, 1)
    with bench.timed() as watch:
        run.steps(steps)
    seconds = run.settings.batch * run.settings.crop_seconds
    row = {"steps_per_second": steps / watch.seconds, "audio_seconds_per_second": steps * seconds / watch.seconds}
    return row if bench.small else row | {"peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def _started(bench: Bench, phase: str) -> Run:
    """A run with or without the discriminator from its first step on. On a CPU its crops are short."""
    weight = PHASES[phase] and (parameters.load().loss.adversarial_weight or PHASES[phase])
    short = {"train__crop_seconds": 0.25} if bench.small else {}
    return bench.started(**short, train__adversarial_after=0.0, loss__adversarial_weight=weight)

"""How fast does it train, how much memory does that take, and what does the GPU wait for?"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from pipeline.gpu.bench import Bench
from pipeline.training.loop import Run

BATCHES = 16, 64, 256  # besides that of params.yaml
ROWS = 25  # kernels in the table of the profile


def throughput(bench: Bench) -> dict[str, Any]:
    """Audio-seconds per second and peak memory of each model with all of its loss, by batch size."""
    rows: list[dict[str, Any]] = []
    for model in bench.models:
        run = _started(bench, model)
        own = run.settings.batch
        for batch in [own] if bench.small else sorted({own, *BATCHES}):
            try:
                rows.append({"model": model, "batch": batch, **_measure(bench, run, batch)})
            except torch.cuda.OutOfMemoryError:
                rows.append({"model": model, "batch": batch, "out_of_memory": True})
                break
    return {"rows": rows}


def waiting(bench: Bench) -> dict[str, Any]:
    """The share of a step's time in which its batch is waited for, while the steps train."""
    shares = {}
    for model in bench.models:
        run = _started(bench, model)
        run.steps(bench.sized(3, 1))
        waits: list[float] = []
        run.batches.share = _watched(run.batches.share, waits)  # type: ignore[method-assign, assignment]
        with bench.timed() as watch:
            run.steps(bench.sized(30, 2))
        shares[model] = sum(waits) / watch.seconds
    return {"share": max(shares.values()), "shares": shares}


def _watched(share: Callable[[int], Tensor], waits: list[float]) -> Callable[[int], Tensor]:
    """`share`, which adds the seconds until each batch is there to `waits`."""

    def watched(count: int) -> Tensor:
        began = time.perf_counter()
        audio = share(count)
        waits.append(time.perf_counter() - began)
        return audio

    return watched


def kernels(bench: Bench, table: Path) -> dict[str, Any]:
    """Profile some steps of each model; the slowest kernels go into the file `table`.

    `busy` is the share of time with a kernel running.
    """
    numbers: dict[str, Any] = {}
    text = ""
    for model in bench.models:
        run = _started(bench, model)
        run.steps(bench.sized(3, 1))
        activities = [ProfilerActivity.CPU] if bench.small else [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        steps = bench.sized(10, 1)
        with bench.timed() as alone:
            run.steps(steps)
        with profile(activities=activities) as profiler:
            run.steps(bench.sized(3, 1))
            bench.synchronise()
        averages = profiler.key_averages()
        order = "self_cpu_time_total" if bench.small else "self_device_time_total"
        text += f"{model}\n{averages.table(sort_by=order, row_limit=ROWS, max_name_column_width=70)}\n"
        if bench.small:
            continue
        # Profiling slows the processor down, not the kernels: their time is compared with that of steps without it.
        working = sum(row.self_device_time_total for row in averages if row.device_type.name == "CUDA") / 1e6 / 3
        launches = sum(row.count for row in averages if row.key.startswith(("cudaLaunchKernel", "cuLaunchKernel")))
        numbers[f"{model}_busy"] = working / (alone.seconds / steps)
        numbers[f"{model}_launches_per_step"] = launches / 3
    table.write_text(text, encoding="utf-8")
    return numbers


def _measure(bench: Bench, run: Run, batch: int) -> dict[str, float]:
    run.settings = run.settings.model_copy(update={"batch": batch})
    run.steps(bench.sized(3, 1))
    if not bench.small:
        torch.cuda.reset_peak_memory_stats()
    steps = bench.sized(12, 1)
    with bench.timed() as watch:
        run.steps(steps)
    seconds = run.settings.batch * run.settings.crop_seconds
    row = {"steps_per_second": steps / watch.seconds, "audio_seconds_per_second": steps * seconds / watch.seconds}
    return row if bench.small else row | {"peak_gib": torch.cuda.max_memory_allocated() / 2**30}


def _started(bench: Bench, model: str) -> Run:
    """A run with its discriminator, if it has one, from its first step on. On a CPU its crops are short."""
    from_start = {"tokens": "train__adversarial_after", "enhancer": "loss__adversarial_after"}
    short = {"train__crop_seconds": 0.25} if bench.small else {}
    return bench.started(model, **short, **({from_start[model]: 0.0} if model in from_start else {}))

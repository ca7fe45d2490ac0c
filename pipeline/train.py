"""Stage `train`: fit a model to the training shards: `python -m pipeline.train tokens` or `... waveform`.

Parameters, shards, code and the number of threads decide the result: with those equal, two runs give equal weights to the
bit, even if one was killed and continued. `TELUCODEC_FRESH=1 dvc repro -f train` trains from the start.
"""

import importlib
import sys
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pipeline.common import files, stage
from pipeline.common.sections import Params
from pipeline.common.shards import Shards
from pipeline.training import data_parallel, dependencies, device, start_from, tracking
from pipeline.training.batches import Batches
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.loop import Run
from pipeline.training.task import Task
from telucodec.networks import distributed


def main(params: Params, model: str) -> None:
    """Train in this process, or in several that share each batch."""
    data_parallel.run(params.loop(model).processes, fit, params, model)


def fit(params: Params, model: str) -> None:
    """Train as one rank. Rank 0 alone writes files and tracks the run."""
    with device.reproducible(params.loop(model).threads):
        run = prepare(params, model)
        if distributed.rank() > 0:
            run.train(distributed.first(None), report=lambda figures: None)
            return
        weights = start_from.weights(params.loop(model), model)
        checkpoints = Checkpoints(dependencies.run_key(params, model, weights))
        config = {"task": model, **dependencies.parameters(params, model)}
        with tracking.start(params.tracking, config, checkpoints.folder) as tracker:

            def report(figures: dict[str, float]) -> None:
                checkpoints.save(run.state())
                tracker.log(figures, run.epoch)
                print_epoch(run, figures)

            run.train(distributed.first(checkpoints.load()), report)
        write_results(run, start_from.identity(params.loop(model), model))


def prepare(params: Params, model: str) -> Run:
    """A run that is ready to start; its seed decides all that follows."""
    loop = params.loop(model)
    torch.manual_seed(loop.seed)
    for_crops, for_steps = np.random.default_rng(loop.seed).spawn(2)
    place = device.choose(loop.device)
    task: Task[Any] = importlib.import_module(f"pipeline.training.{model}").task(params, place)
    crop_samples = round(loop.crop_seconds * params.preprocess.sample_rate)
    training, validation = (Shards(files.SHARDS / split) for split in ("train", "validation"))
    batches = Batches(training, for_crops, crop_samples, loop.gain_db, place)
    return Run(loop, task, batches, for_steps, validation, place)


def print_epoch(run: Run, figures: dict[str, float]) -> None:
    speed = figures.get("audio_seconds_per_second")
    rate = "" if speed is None else f"  {speed:.0f} audio-s/s"
    tqdm.write(f"{run.task.name}: epoch {run.epoch:3d}  {run.task.headline(figures)}{rate}", file=sys.stdout)


def write_results(run: Run, origin: str | None) -> None:
    """Write the outputs of the stage: weights and configuration, metrics, curves.

    Args:
        origin: id of the model that the training started from.
    """
    name = run.task.name
    with files.whole_folder(files.MODELS / name) as folder:
        run.task.save(folder)
    metrics = {
        "epochs": run.epoch,
        **run.task.summary(run.history[0], run.history[-1]),
        **({} if origin is None else {"start_from": origin}),
        "parameters": sum(weight.numel() for weight in run.task.model.parameters()),
        "threads": run.settings.threads,
    }
    files.write_json(files.METRICS / name / "train.json", metrics)
    plots = files.PLOTS / name
    files.write_csv(plots / "history.csv", run.history, columns=list(run.history[-1]))
    files.write_csv(plots / "statistics.csv", run.statistics, columns=list(run.statistics[-1]))
    files.write_csv(plots / "speed.csv", run.speed, columns=["epoch", "audio_seconds_per_second"])


if __name__ == "__main__":
    stage.run(main, sys.argv[1])

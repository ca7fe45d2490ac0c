"""Training on the machine with the GPU until the minutes are used up.

python -m pipeline.gpu.training RESULTS_DIR SECONDS MODEL SHARE [MODEL SHARE]...    one lane: one model after the other
"""

import sys
import time
from pathlib import Path

from pipeline import train
from pipeline.common import files
from pipeline.common import params as parameters
from pipeline.common.stage import StageError
from pipeline.gpu import lanes
from pipeline.gpu.outputs import save
from pipeline.training import device
from pipeline.training.loop import Run

EPOCH_SECONDS = 40  # between two validations, and the most that a killed run loses
FIRST_STEPS = 40  # of the first epoch, which tells how many steps fit into the others
RESERVED_SECONDS = 15  # for what follows the last epoch, besides the prior
STEP_SECONDS = 0.1  # of a step, before any is measured
LEAST_SECONDS = 5
ENDLESS = 1_000_000  # epochs: the minutes alone end the run and shape its schedule


def lane(results: Path, seconds: float, models: lanes.Lane) -> None:
    """Train models one after the other, each for its share of the seconds.

    Raises:
        StageError: a training failed. The results of the last finished epoch stay.
    """
    deadline, left = time.monotonic() + seconds, 1.0
    for model, share in models:
        now = time.monotonic()
        until(now + (deadline - now) * share / left, results, model)
        left -= share


def until(deadline: float, results: Path, model: str) -> None:
    """Train a model with params.yaml until `deadline` on the monotonic clock, and keep the results of every epoch.

    Raises:
        StageError: the training failed. The results of the last finished epoch stay.
    """
    began = time.monotonic()
    prior = parameters.load().train.prior_steps if model == "tokens" else 0
    seconds = max(deadline - began - RESERVED_SECONDS - STEP_SECONDS * prior, LEAST_SECONDS)
    at = f"{lanes.section(model)}train."
    fixed = {"minutes": seconds / 60, "epochs": ENDLESS, "steps_per_epoch": FIRST_STEPS, "processes": 1}
    params = parameters.load_with({at + name: value for name, value in fixed.items()})
    with device.reproducible(params.loop(model).threads):
        run = train.prepare(params, model)
        print(f"{model}: training for {seconds / 60:.1f} minutes", flush=True)
        steps = 0

        def report(figures: dict[str, float]) -> None:
            nonlocal steps
            steps += run.settings.steps_per_epoch if run.epoch else 0
            keep(finished=False)
            train.print_epoch(run, figures)
            if run.epoch:
                _plan(run, deadline - time.monotonic() - RESERVED_SECONDS, prior)

        def keep(finished: bool) -> None:
            figures = {
                "finished": finished,
                "epochs": run.epoch,
                "steps": steps,
                "minutes": run.seconds / 60,
                "initialise": began_training - began,
                "batch": run.settings.batch,
                "audio_seconds_per_second": [row["audio_seconds_per_second"] for row in run.speed],
                "first": run.history[0],
                "last": run.history[-1],
            }
            save(results, run.task, run.history, figures)

        began_training = time.monotonic()
        run.train(None, report)
        keep(finished=True)
    with files.whole_folder(files.MODELS / model) as folder:  # the next model of the lane may need it
        run.task.save(folder)


def _plan(run: Run, left: float, prior_steps: int) -> None:
    """Spend the seconds that are left: steps until the next validation, and an end that leaves time for the prior.

    A step of the prior takes at most as long as one of the codec.
    """
    settings = run.settings
    step = settings.batch * settings.crop_seconds / run.speed[-1]["audio_seconds_per_second"]
    left = max(left - prior_steps * step, 0)
    steps = max(round(min(EPOCH_SECONDS, left) / step), 1)
    changes = {"steps_per_epoch": steps, "minutes": (run.seconds + left) / 60}
    run.settings = settings.model_copy(update=changes)


def main(results: str, seconds: str, *models: str) -> None:
    shares = [float(share) for share in models[1::2]]
    try:
        lane(Path(results), float(seconds), list(zip(models[::2], shares, strict=True)))
    except StageError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])

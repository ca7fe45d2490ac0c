"""Training on the machine with the GPU until the minutes are used up."""

import time
from collections.abc import Mapping

from pipeline import train
from pipeline.common import params as parameters
from pipeline.gpu.outputs import Outputs
from pipeline.training import device

EPOCH_SECONDS = 15  # between two validations, and the most that a killed run loses
RESERVED_SECONDS = 10  # for what follows the last epoch, besides the prior
PRIOR_STEP_SECONDS = 0.02
LEAST_SECONDS = 5
ENDLESS = 1_000_000  # epochs: the minutes alone end the run and shape its schedule


def until(deadline: float, outputs: Outputs, overrides: Mapping[str, object], steps_per_second: float | None) -> None:
    """Train with params.yaml until `deadline` on the monotonic clock, and keep the results of every epoch.

    Args:
        overrides: values of parameters by dotted key.
        steps_per_second: as measured; it sets the length of an epoch. None: that of params.yaml.

    Raises:
        StageError: the training failed. The results of the last finished epoch stay.
    """
    began = time.monotonic()
    loop = parameters.load().train
    reserved = RESERVED_SECONDS + PRIOR_STEP_SECONDS * loop.prior_steps
    steps = loop.steps_per_epoch if steps_per_second is None else max(round(EPOCH_SECONDS * steps_per_second), 1)
    params = parameters.load_with(
        {
            "train.minutes": max(deadline - began - reserved, LEAST_SECONDS) / 60,
            "train.epochs": ENDLESS,
            "train.steps_per_epoch": steps,
            "train.processes": 1,
            **overrides,
        }
    )
    with device.reproducible(params.train.threads):
        run = train.prepare(params, "tokens")
        print(f"training for {params.train.minutes:.1f} minutes, {steps} steps an epoch", flush=True)

        def report(figures: dict[str, float]) -> None:
            if run.epoch == 0:
                outputs.add(seconds=outputs.figures["seconds"] | {"initialise": time.monotonic() - began})
            keep(finished=False)
            train.print_epoch(run, figures)

        def keep(finished: bool) -> None:
            outputs.save(
                run.task,
                run.history,
                training={
                    "finished": finished,
                    "epochs": run.epoch,
                    "steps": run.epoch * steps,
                    "minutes": run.seconds / 60,
                    "audio_seconds_per_second": [row["audio_seconds_per_second"] for row in run.speed],
                    "first": run.history[0],
                    "last": run.history[-1],
                },
            )

        run.train(None, report)
        keep(finished=True)

from types import SimpleNamespace

from pipeline.common import params
from pipeline.gpu import training


def planned(left, prior_steps):
    """What a run plans that has trained for a minute, at a second for a step."""
    settings = params.load().train.model_copy(update={"batch": 10, "crop_seconds": 1.0})
    run = SimpleNamespace(settings=settings, seconds=60.0, speed=[{"audio_seconds_per_second": 10.0}])
    training._plan(run, left, prior_steps)
    return run.settings.steps_per_epoch, run.settings.minutes


def test_what_is_left_is_spent_on_steps_between_validations_and_on_the_prior(workspace):
    assert planned(300, 0) == (training.EPOCH_SECONDS, 6.0)
    assert planned(300, 280) == (20, 80 / 60)
    assert planned(300, 400) == planned(-5, 0) == (1, 1.0)  # the end is near: the least that there can be

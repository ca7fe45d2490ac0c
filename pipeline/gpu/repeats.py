"""Does the same training give the same weights, also across a checkpoint, and does its loss fall?"""

import io
import warnings
from typing import Any

import numpy as np
import torch

from pipeline.gpu.bench import Bench, differing, weights


def repeat(bench: Bench) -> dict[str, Any]:
    """Two runs of the same steps."""
    steps, results, operations = bench.sized(20, 4), [], set()
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = bench.started()
            run.steps(steps)
        operations |= {str(one.message).split()[0] for one in caught if "deterministic" in str(one.message)}
        results.append(weights(run))
    return {"tensors_differing": differing(*results), "steps": steps, "not_deterministic": sorted(operations)}


def resume(bench: Bench) -> dict[str, Any]:
    """A run that stops halfway and goes on from its checkpoint, against one that does not stop."""
    half = bench.sized(10, 2)
    undisturbed = bench.started()
    undisturbed.steps(half)
    checkpoint = io.BytesIO()
    torch.save(undisturbed.state(), checkpoint)
    undisturbed.steps(half)
    checkpoint.seek(0)
    resumed = bench.run()
    resumed.resume(torch.load(checkpoint, map_location="cpu", weights_only=False))
    resumed.steps(half)
    return {"tensors_differing": differing(weights(undisturbed), weights(resumed)), "steps": 2 * half}


def curve(bench: Bench) -> dict[str, Any]:
    """The loss over 200 steps, as means over a tenth of them."""
    steps = bench.sized(200, 60)
    # The schedule runs to its end. No second phase: a term that comes in halfway would raise the sum. No dropout: steps with
    # fewer codebooks have higher losses.
    run = bench.started(
        train__epochs=1, train__steps_per_epoch=steps, loss__adversarial_weight=0.0, quantizer__dropout=0.0
    )
    means = np.array(run.steps(steps)["total"]).reshape(10, -1).mean(1)
    return {"rise": float(means[-3:].mean() - means[:3].mean()), "loss": means.tolist(), "steps": steps}

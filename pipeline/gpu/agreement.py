"""Do a GPU, half precision and compiled graphs compute what the processor computes in float32?"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.gpu.bench import Bench
from pipeline.training.loop import Run
from pipeline.training.tokens import TokenTask
from telucodec.networks.mdct import MDCT
from telucodec.networks.tokens.kmeans import nearest

SECONDS, BATCH = 2, 8  # of the audio that is compared
LEAST_TERM = 0.05  # the error of a smaller loss term is relative to this


def devices(bench: Bench) -> dict[str, Any]:
    """One batch on the processor and on the GPU, both in float32 and without TF32."""
    with precise():
        reference, run = _pair(bench)
        audio = _batch(reference)
        return _compared(_losses(reference, audio), _losses(run, audio.to(bench.device)))


def half(bench: Bench) -> dict[str, Any]:
    """One batch in float32 and under bfloat16 autocast."""
    run = bench.started(train__precision="float32")
    audio = _batch(run).to(bench.device)
    expected = _losses(run, audio, bfloat16=False)
    return _compared(expected, _losses(run, audio, bfloat16=True))


def full_float32(bench: Bench) -> dict[str, Any]:
    """Codeword distances, transforms and spectra under autocast and TF32 against float64."""
    run = bench.started()
    task = _task(run)
    model = task.model.eval()
    audio = _batch(run).to(bench.device)
    with torch.no_grad(), torch.autocast(bench.device.type, torch.bfloat16):
        latents = model.analyse(audio).latents.float()
        codes = model.quantizer(latents).codes
        transform = MDCT(model.config.hop).to(bench.device)
        coefficients = transform(audio)
        output = model(audio).audio
        terms = task.loss(audio, output, torch.zeros((), device=bench.device))
    with torch.no_grad():
        loss = task.loss.cpu()
        expected = loss(audio.cpu(), output.float().cpu(), torch.zeros(()))
        loss.to(bench.device)
    return {
        "codes_differing": _share_differing(codes, _greedy(latents, model.quantizer.codebooks)),
        "transform_error": _relative(coefficients, _transform(audio, transform.basis)),
        "spectra_error": max(_relative(terms[name], expected[name]) for name in terms),
    }


def compiled(bench: Bench) -> dict[str, Any]:
    """The same steps with and without torch.compile, and how long they take. On a CPU graphs are traced, not compiled."""
    steps = bench.sized(20, 2)
    losses: list[list[float]] = []
    numbers: dict[str, float] = {}
    for name in ("eager", "compiled"):
        run = bench.started()
        with bench.timed() as first:
            if name == "compiled":
                run.task.compile("eager" if bench.small else "inductor")
            losses.append(run.steps(steps)["total"])
        with bench.timed() as further:
            run.steps(steps)
        numbers |= {f"{name}_first_seconds": first.seconds, f"{name}_steps_per_second": steps / further.seconds}
    eager, other = (np.array(each) for each in losses)
    return {
        "first_loss_error": abs(other[0] - eager[0]) / abs(eager[0]),
        "mean_loss_error": float(abs(other.mean() - eager.mean()) / abs(eager).mean()),
        "speedup": numbers["compiled_steps_per_second"] / numbers["eager_steps_per_second"],
        **numbers,
    }


@contextlib.contextmanager
def precise() -> Iterator[None]:
    """No TF32, neither in matrix products nor in convolutions."""
    precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions


def _pair(bench: Bench) -> tuple[Run, Run]:
    """A started run on the processor, and one on the GPU with the same weights."""
    reference = bench.started(train__device="cpu", train__precision="float32")
    run = bench.run(train__precision="float32")
    run.task.model.load_state_dict(reference.task.model.state_dict())
    return reference, run


def _batch(run: Run) -> Tensor:
    """Audio [batch, samples] on the CPU, the same for every run."""
    samples = SECONDS * 16000
    return torch.from_numpy(run.batches.shards.crops(np.random.default_rng(1), BATCH, samples))


def _task(run: Run) -> TokenTask:
    assert isinstance(run.task, TokenTask)
    return run.task


def _losses(run: Run, audio: Tensor, bfloat16: bool = False) -> dict[str, Any]:
    """Loss terms, gradients [parameters] and codes of one batch. The model stays as it was, codebooks included."""
    task = _task(run)
    task.model.eval()  # codebooks must not move between two passes
    task.model.zero_grad(set_to_none=True)
    with torch.autocast(audio.device.type, torch.bfloat16, enabled=bfloat16):
        output = task.model(audio)
        terms = task.loss(audio, output.audio, output.vq_loss)
    terms["total"].backward()
    gradients = [weight.grad.flatten().double().cpu() for weight in task.model.parameters() if weight.grad is not None]
    return {
        "terms": {name: float(value.detach()) for name, value in terms.items()},
        "gradient": torch.cat(gradients),
        "codes": output.codes.cpu(),
    }


def _compared(expected: dict[str, Any], actual: dict[str, Any]) -> dict[str, Any]:
    errors = {
        name: abs(actual["terms"][name] - value) / max(abs(value), LEAST_TERM)
        for name, value in expected["terms"].items()
    }
    return {
        "loss_error": max(errors.values()),
        "gradient_error": _relative(actual["gradient"], expected["gradient"]),
        # Later codebooks code what the first one leaves, so one difference spreads.
        "codes_differing": _share_differing(actual["codes"][:, 0], expected["codes"][:, 0]),
        "loss_errors": errors,
    }


def _relative(actual: Tensor, expected: Tensor) -> float:
    """Norm of the error over norm of what is expected."""
    actual, expected = actual.detach().cpu().double(), expected.detach().cpu().double()
    return float((actual - expected).norm() / expected.norm().clamp(min=1e-12))


def _share_differing(codes: Tensor, others: Tensor) -> float:
    return float((codes.cpu() != others.cpu()).double().mean())


def _greedy(latents: Tensor, codebooks: Tensor) -> Tensor:
    """Codes [batch, codebooks, frames] of latents [batch, frames, latent], searched in float64."""
    residual, codes = latents.double().flatten(0, 1), []
    for codebook in codebooks.double():
        codes.append(nearest(residual, codebook))
        residual = residual - codebook[codes[-1]]
    return torch.stack(codes).unflatten(1, latents.shape[:2]).transpose(0, 1)


def _transform(audio: Tensor, basis: Tensor) -> Tensor:
    """The MDCT [batch, frames, hop] of audio [batch, samples] in float64."""
    hop = basis.shape[0]
    padded = torch.nn.functional.pad(audio.double(), (hop, -audio.shape[1] % hop + hop))
    blocks = padded.unflatten(1, (-1, hop))
    return torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=2) @ basis.double().t()

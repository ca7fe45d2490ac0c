"""Independent judges of decoded speech: what evaluations measure, and no training ever sees.

A model that is trained to please PESQ pleases PESQ: tokens of 3.2 on its scale have sounded bad. So **no judge here, and no
distillation of one, may stand in a loss, stop a training, or steer a search finer than the choice between finished models.**

Each judge is one file: its name, its measures, whether it needs the reference, what to install, and how it is loaded. To add
one, write such a file and list it below. Weights come with the packages. `python -m pipeline.judges` prints a table.
"""

import functools
import math
from collections.abc import Iterable

import numpy as np

from pipeline.judges import distillmos, dnsmos, levels, speaker, visqol
from pipeline.judges.judge import SAMPLE_RATE, Judge, JudgeError, Verdict
from telucodec.audio.samples import FULL_SCALE, whole_numbers

__all__ = ["JUDGES", "SAMPLE_RATE", "Judge", "JudgeError", "judge", "measures", "require", "sample"]

JUDGES = {room.JUDGE.name: room.JUDGE for room in (dnsmos, distillmos, visqol, speaker, levels)}
SHORTEST = SAMPLE_RATE // 2  # samples; shorter clips hold too little for any of them
SILENT = 1e-8  # mean square below which a signal counts as silence


def require(names: Iterable[str]) -> None:
    """Check that there are such judges and that they are installed, without loading them.

    Raises:
        JudgeError: one is unknown or not installed; the message says which there are, or what to install.
    """
    for name in names:
        if name not in JUDGES:
            raise JudgeError(f"no judge {name!r}; there are {', '.join(JUDGES)}")
        missing = JUDGES[name].missing
        if missing:
            raise JudgeError(f"judge {name} needs {' and '.join(missing)}, not installed here: {JUDGES[name].install}")


def measures(names: Iterable[str]) -> dict[str, str]:
    """Names of the values that these judges give, and their titles."""
    return {measure: title for name in names for measure, title in JUDGES[name].measures.items()}


def sample(clips: int, count: int) -> set[int]:
    """Numbers of `count` clips, or of all where there are fewer, evenly spaced over `clips`."""
    return set(np.linspace(0, clips - 1, min(count, clips)).round().astype(int).tolist())


def judge(names: Iterable[str], reference: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
    """What judges say about a clip.

    Args:
        names: of `JUDGES`.
        reference: float32 [samples] at 16 kHz, full scale at 1.
        decoded: as long, aligned with it. Both are judged as a 16-bit file would hold them.

    Returns:
        A value for each of the judges' measures; NaN where the clip is shorter than 0.5 s, or one of the two is silent.

    Raises:
        JudgeError: a judge is unknown or not installed.
        ValueError: the arrays are not one-dimensional and equally long, or hold NaN or infinite samples.
    """
    names = list(names)
    require(names)
    if reference.ndim != 1 or reference.shape != decoded.shape:
        raise ValueError(f"reference {reference.shape} and decoded {decoded.shape} must be [samples] of equal length")
    if not (np.isfinite(reference).all() and np.isfinite(decoded).all()):
        raise ValueError("the reference or the decoded speech holds NaN or infinite samples")
    clean, coded = _as_file(reference), _as_file(decoded)
    if len(clean) < SHORTEST or any(np.square(signal).mean() < SILENT for signal in (clean, coded)):
        return dict.fromkeys(measures(names), math.nan)
    return {measure: value for name in names for measure, value in _loaded(name)(clean, coded).items()}


def _as_file(signal: np.ndarray) -> np.ndarray:
    """Samples as a 16-bit file holds them, clipped and rounded: what a listener gets.

    It matters: where a codec gives exact silence between weak samples, DistillMOS says 0.1 more.
    """
    return whole_numbers(signal).astype(np.float32) / FULL_SCALE


@functools.cache
def _loaded(name: str) -> Verdict:
    return JUDGES[name].load()

"""Checks and conversions of arrays of samples."""

import numpy as np

from telucodec.audio.spool import Samples
from telucodec.errors import CodecError

FULL_SCALE = 32768  # of 16-bit samples: the integer that stands for 1.0
PEAK = 2.0  # full scale is 1; resampling may overshoot it, and transform and escape codes reach this far
BLOCK = 1 << 20


def checked(audio: np.ndarray) -> np.ndarray:
    """Audio [samples] as float32, or as int16 if it is that; not copied unless it must be.

    Raises:
        CodecError: another shape, values that are not finite, or values far outside of [-1, 1].
    """
    audio = np.asarray(audio)
    if audio.ndim != 1:
        raise CodecError(f"audio must be mono, an array [samples]; got the shape {audio.shape}")
    if audio.dtype == np.int16:
        return audio
    if audio.dtype.kind != "f":
        raise CodecError(f"audio must be float in [-1, 1] or int16, got {audio.dtype}")
    audio = audio.astype(np.float32, copy=False)
    # A NaN fails both comparisons.
    if len(audio) and not (audio.min() >= -PEAK and audio.max() <= PEAK):
        if not np.isfinite(audio).all():
            raise CodecError("audio holds values that are not finite")
        raise CodecError(f"audio must lie in [-1, 1], got values up to {np.abs(audio).max():g}; divide by full scale")
    return audio


def whole_numbers(block: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as int16; values beyond are clipped."""
    return np.round(np.clip(block, -1, 1 - 1 / FULL_SCALE) * FULL_SCALE).astype(np.int16)


def floats(audio: np.ndarray) -> np.ndarray:
    """Audio in [-1, 1], whether float32 or int16."""
    return audio * np.float32(1 / FULL_SCALE) if audio.dtype == np.int16 else audio


def energy(audio: Samples) -> float:
    """Sum of squares of audio [samples], block by block: an hour in float64 would fill the memory."""
    blocks = (floats(audio[start : start + BLOCK]) for start in range(0, len(audio), BLOCK))
    return sum(float(np.sum(np.square(block, dtype=np.float64))) for block in blocks)

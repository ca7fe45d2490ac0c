"""The time grid of the vocoder. All of it is fixed, because the constants of pitch and filters fit 16 kHz speech."""

import numpy as np

SAMPLE_RATE = 16000  # Hz
HOP = 320  # samples of a frame
STEP = HOP // 2  # samples from one spectrum to the next: two of them in a frame
WINDOW = 2 * HOP  # samples that pitch and spectra are measured in
HISTORY = WINDOW + STEP - HOP  # samples before a frame's own that its windows reach


def windows(line: np.ndarray, first: int, step: int) -> np.ndarray:
    """Stretches [count, WINDOW] of a line [samples], the first one from sample `first`, then every `step` samples."""
    return np.lib.stride_tricks.sliding_window_view(line, WINDOW)[first::step]


def product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rows [frames, n] times a matrix [n, m], each by itself: the same to the last bit, however many frames there are."""
    return np.matmul(rows[:, None], matrix)[:, 0]

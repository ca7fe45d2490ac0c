"""Error of the level in octave bands from 125 Hz to 8 kHz, in dB: what a codec adds to each band, or takes from it.

The bias is the mean of decoded minus reference over the frames within 30 dB of the loudest one, the spread the standard
deviation. A bias of -20 dB in the upper bands is speech without treble, which PESQ does not hear: it equalises filtering.
Both are best at 0.
"""

import itertools

import numpy as np
from scipy.signal import stft

from pipeline.judges.judge import SAMPLE_RATE, Judge, Verdict

EDGES = 125, 250, 500, 1000, 2000, 4000, 8000  # Hz
WINDOW, HOP = 512, 256  # samples: frames of 32 ms, every 16 ms
ACTIVE_DB = 30.0  # below the loudest frame of the reference
FLOOR_DB = 80.0  # below that frame; a quieter band counts as that loud, so that an empty one has a level


def level_errors(reference: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Decoded minus reference level in dB, [bands, active frames]."""
    clean, coded = (_energies(signal) for signal in (reference, decoded))
    frames = clean.sum(axis=0)
    floor = frames.max() * 10 ** (-FLOOR_DB / 10)
    active = frames >= frames.max() * 10 ** (-ACTIVE_DB / 10)
    return 10 * np.log10((coded[:, active] + floor) / (clean[:, active] + floor))


def _energies(signal: np.ndarray) -> np.ndarray:
    """Energy of each octave, [bands, frames]."""
    frequencies, _, spectrum = stft(signal.astype(np.float64), SAMPLE_RATE, nperseg=WINDOW, noverlap=WINDOW - HOP)
    power = np.square(np.abs(spectrum))
    band = np.digitize(frequencies, EDGES[:-1]) - 1  # -1 below the lowest
    return np.stack([power[band == number].sum(axis=0) for number in range(len(EDGES) - 1)])


def _load() -> Verdict:
    def verdict(reference: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
        errors = level_errors(reference, decoded)
        named = zip(EDGES, errors.mean(axis=1), errors.std(axis=1), strict=False)
        return {
            name: float(value)
            for edge, bias, spread in named
            for name, value in ((f"level_bias_{edge}", bias), (f"level_spread_{edge}", spread))
        }

    return verdict


JUDGE = Judge(
    name="levels",
    measures={
        f"level_{kind}_{low}": f"{kind} {low}-{high} Hz, dB"
        for low, high in itertools.pairwise(EDGES)
        for kind in ("bias", "spread")
    },
    needs_reference=True,
    modules=(),
    install="",
    load=_load,
)

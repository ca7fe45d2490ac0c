"""The phase codebook: how far the pulses of a frame are turned, and how the phases of its harmonics differ from minimum phase.

Without it the pulses run freely, and only the ear takes the result for the original. With it the waveform follows.
"""

import functools
import math

import numpy as np

from telucodec.vocoder.envelope import between, interpolated
from telucodec.vocoder.filters import KNOTS, tables
from telucodec.vocoder.frames import HOP, SAMPLE_RATE, STEP, WINDOW, product
from telucodec.vocoder.pitch import FFT, Track
from telucodec.vocoder.source import cycles

HARMONICS = 16  # that are compared, below HIGHEST
HIGHEST = 1600.0  # Hz
UNREST = 2.0  # price of a turn by a whole cycle, squared, of 1 for the best fit
ROUNDS = 5  # of k-means after each doubling of the shapes
SPREAD = 0.4  # rad, by which shapes differ when they double


def turns_of(codebook_size: int) -> int:
    """The number of turns that a codebook distinguishes; for each of them it has codebook_size / turns shapes."""
    return 2 ** (int(math.log2(codebook_size)) // 2)


class PhaseCodes:
    """The codewords of the phase codebook: code `turn * shapes + shape`.

    Args:
        shapes: [shapes, KNOTS], angles in radians.
        codebook_size: at least as many as turns times shapes.
    """

    def __init__(self, shapes: np.ndarray, codebook_size: int):
        count = turns_of(codebook_size)
        index = np.minimum(np.arange(codebook_size) // len(shapes), count - 1)
        self.shapes = np.asarray(shapes, np.float64)
        # [codebook_size], cycles; the first is 0.
        self.turns = (index + count // 2) % count / count - count // 2 / count
        self.angles = self.shapes[np.arange(codebook_size) % len(shapes)]  # [codebook_size, KNOTS]

    @property
    def distinct(self) -> np.ndarray:
        """The turns [turns] in the order of codes."""
        return self.turns[: turns_of(len(self.turns)) * len(self.shapes) : len(self.shapes)]


class PhaseTracker:
    """Finds the codes of one recording: the turn and the shape that bring the pulses nearest to the harmonics of each frame."""

    def __init__(self, codes: PhaseCodes):
        self._codes = codes
        number = np.arange(1, HARMONICS + 1)
        self._turned = np.exp(-2j * np.pi * number * codes.distinct[:, None])  # [turns, HARMONICS]
        self._price = UNREST * np.square(codes.distinct)[:, None]
        self._phase = 0.0  # of the pulses, as in `PulseTrain`

    def push(self, harmonics: np.ndarray, track: Track) -> np.ndarray:
        """Harmonics [frames, HARMONICS], from `harmonics`, to codes [frames]."""
        return self._pushed(harmonics, track, None)

    def learn(self, harmonics: np.ndarray, track: Track) -> np.ndarray:
        """The sums [shapes, KNOTS] of harmonics as complex numbers, turned as their codes say: k-means averages them."""
        total = np.zeros((len(self._codes.shapes), len(KNOTS)), np.complex128)
        self._pushed(harmonics, track, total)
        return total

    def _pushed(self, harmonics: np.ndarray, track: Track, total: np.ndarray | None) -> np.ndarray:
        codes, number = np.zeros(len(harmonics), np.int64), np.arange(1, HARMONICS + 1)
        weights = between(_places(track), KNOTS).swapaxes(0, 1)  # [frames, KNOTS, HARMONICS]
        shapes = np.exp(-1j * (self._codes.shapes @ weights))  # [frames, shapes, HARMONICS]
        sizes = np.abs(harmonics).sum(1) + 1e-20
        middles, ends = (cycles(track.before, track.after, count) for count in (STEP + 1, HOP))
        for frame, code in enumerate(codes):
            if track.onset[frame]:
                self._phase = 0.0
            if track.voiced[frame]:
                pulses = np.exp(-2j * np.pi * number * (self._phase + middles[frame]))
                aligned = self._turned * (harmonics[frame] * pulses)  # [turns, HARMONICS]
                scores = (aligned @ shapes[frame].T).real / sizes[frame] - self._price
                codes[frame] = code = scores.argmax()
                if total is not None:
                    turn, shape = divmod(code, len(self._codes.shapes))
                    total[shape] += weights[frame] @ aligned[turn]
            self._phase = (self._phase + ends[frame] + self._codes.turns[code]) % 1.0
        return codes


def harmonics(spectra: np.ndarray, track: Track, levels: np.ndarray) -> np.ndarray:
    """The harmonics in the middle of each window: [frames, HARMONICS], complex, squared in magnitude, less minimum phase.

    Args:
        spectra: [frames, FFT / 2 + 1], of windows that start at the first sample.
        track: the pitch.
        levels: [frames, POINTS], of the spectrum there.
    """
    places = _places(track)
    found = interpolated(spectra * centred(), places / (SAMPLE_RATE / FFT)) * (places < HIGHEST)
    phases = interpolated(product(levels, tables().phases), places / spacing())
    return found * np.abs(found) * np.exp(-1j * phases)


def fitted(recordings: list[tuple[np.ndarray, Track]], codebook_size: int) -> np.ndarray:
    """Shapes [shapes, KNOTS] by k-means over recordings, each the arguments of `PhaseTracker.push`."""
    random = np.random.default_rng(0)
    shapes = np.zeros((1, len(KNOTS)))
    while True:
        for _ in range(ROUNDS):
            codes = PhaseCodes(shapes, turns_of(codebook_size) * len(shapes))
            total = sum(PhaseTracker(codes).learn(*recording) for recording in recordings)
            shapes = np.where(np.abs(total) > 0, np.unwrap(np.angle(total)), shapes)
        if len(shapes) * 2 * turns_of(codebook_size) > codebook_size:
            return shapes
        shapes = np.concatenate([shapes, shapes + random.normal(0, SPREAD, shapes.shape)])


def _places(track: Track) -> np.ndarray:
    """The frequencies [frames, HARMONICS] of the harmonics in the middle of the last window of each frame, in Hz."""
    return np.multiply.outer((track.before + track.after) / 2, np.arange(1, HARMONICS + 1))


@functools.cache
def centred() -> np.ndarray:
    """Factors [bins] that move the origin of time to the middle of the window."""
    return np.exp(2j * np.pi * np.arange(FFT // 2 + 1) * (WINDOW // 2) / FFT)


def spacing() -> float:
    """Hz from one bin of the phases of filters to the next."""
    return SAMPLE_RATE / 2 / (tables().phases.shape[1] - 1)

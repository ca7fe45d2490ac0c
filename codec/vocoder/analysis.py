"""Speech to pitch, phase and spectra, frame by frame."""

from typing import NamedTuple

import numpy as np

from telucodec.vocoder.envelope import POINTS, envelope
from telucodec.vocoder.frames import HISTORY, HOP, STEP, windows
from telucodec.vocoder.phase import PhaseCodes, PhaseTracker, harmonics
from telucodec.vocoder.pitch import PitchCodes, PitchCourse, PitchTracker, Track, spectra

FEATURES = 2 * POINTS  # of a frame: the levels of two spectra
UNVOICED = 200.0  # Hz, sets the length of the window where there is no pitch


class Measured(NamedTuple):
    """What is measured in frames before their phases are coded."""

    pitch: np.ndarray  # [frames], int64, codes of `PitchCodes`
    levels: np.ndarray  # [frames, FEATURES], float32, nepers: a STEP before the middle of the last window, and there
    harmonics: np.ndarray  # [frames, HARMONICS], from `phase.harmonics`
    track: Track


class SpeechAnalysis:
    """One recording's way to codes and spectra. What a frame describes lies up to two hops before its last sample."""

    def __init__(self, pitch: PitchCodes, phase: PhaseCodes):
        self._pitch, self._course, self._phase = PitchTracker(pitch), PitchCourse(pitch), PhaseTracker(phase)
        self._before = np.zeros(HISTORY)

    def push(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Audio [frames * HOP] to codes of pitch and phase [2, frames], and levels [frames, FEATURES], of complete frames."""
        measured = self.measure(audio)
        phase = self._phase.push(measured.harmonics, measured.track)
        return np.stack([measured.pitch, phase]), measured.levels

    def measure(self, audio: np.ndarray) -> Measured:
        """The first part of `push`."""
        line = np.concatenate([self._before, audio])
        self._before = line[len(line) - HISTORY :]
        late = windows(line, STEP, HOP)
        early = windows(line, 0, HOP)[: len(late)]
        seen = spectra(late)
        pitch = self._pitch.push(seen)
        track = self._course.push(pitch)
        periods = np.where(track.voiced, track.after, UNVOICED)
        levels = [envelope(segments, periods) for segments in (early, late)]
        found = harmonics(seen, track, levels[1])
        return Measured(pitch, np.concatenate(levels, axis=1).astype(np.float32), found, track)


def silence() -> np.ndarray:
    """The levels [FEATURES] of silence."""
    nothing = np.zeros((1, 2 * HOP))
    return np.tile(envelope(nothing, np.array([UNVOICED])), 2)[0].astype(np.float32)

"""The search for the quantiser step that gives a wanted SNR or a wanted size."""

import math
from collections.abc import Callable

import numpy as np

from telucodec.audio.samples import energy, floats
from telucodec.audio.spool import Samples
from telucodec.errors import missed
from telucodec.files import container
from telucodec.mdct import ExactMDCT
from telucodec.waveform.grids import LAST_STEP, STEPS_PER_OCTAVE
from telucodec.waveform.packets import WaveformPackets

LOOKED_AT = 150  # pieces of the recording, spread over it, that the first guess looks at
TRIED = 10, 24  # of these, those that are coded to correct the guess: at least, and at most
TRIED_SHARE = 0.04  # of the recording; little beside coding all of it a second time
PIECE_SECONDS = 2.0
SPREAD = STEPS_PER_OCTAVE  # steps by which the recording may differ from the pieces that are coded
ROUNDED_UP = 0.65  # part of a step from which the first guess rounds up
STEP_DECIBELS = 20 * math.log10(2) / STEPS_PER_OCTAVE
NEAR_DECIBELS = 0.09  # below the 0.1 dB promised, so that rounding samples cannot break the promise
NEAR_SHARE = 0.019  # of the rate, below the 2 % promised
ATTEMPTS = 10

EncodeAt = Callable[[int], tuple[bytes, float]]  # a step to the file's bytes and the squared error
Measure = Callable[[int, list[np.ndarray]], float]  # a step and pieces of the recording to SNR or rate


class Search:
    """Finds the step for one recording: a guess from plain rounding of its coefficients, corrected by what coding some
    pieces of it shows, then the whole file, corrected until it fits."""

    def __init__(self, audio: Samples, sample_rate: int, coder: Callable[[int], WaveformPackets], strict: bool = False):
        """`coder` gives what codes at a step; `strict` makes a target that is out of reach an error."""
        self._coder, self._strict = coder, strict
        self._rate = sample_rate
        self._seconds = len(audio) / self._rate
        self._energy = energy(audio)
        self._audio = audio

    def to_snr(self, wanted: float, encode_at: EncodeAt) -> bytes:
        """The file whose SNR is nearest to `wanted` dB; if none is within 0.1 dB, the nearest above, with a warning.

        Raises:
            CodecError: it is out of reach, and the search is strict.
        """

        def rounded(step: int, pieces: list[np.ndarray]) -> float:
            scale = self._coder(step).scale
            error = 0.0
            for piece in pieces:
                steps = scale.measured(piece).steps.astype(piece.dtype)
                error += _energy(piece - _rounded(piece / steps) * steps)
            return _decibels(_energy(*pieces), error)

        def coded(step: int, pieces: list[np.ndarray]) -> float:
            coder = self._coder(step)
            _, decoded = coder.encode(pieces)
            heard = (coder.restoration().push(frames) for frames in decoded)
            return _decibels(_energy(*pieces), _energy(*(a - b for a, b in zip(pieces, heard, strict=True))))

        def snr(step: int) -> tuple[bytes, float]:
            data, error = encode_at(step)
            return data, _decibels(self._energy, error)

        start = self._start(wanted, rounded, coded)
        data, reached = _approach(snr, wanted, start, STEP_DECIBELS, NEAR_DECIBELS, at_least=True)
        if abs(reached - wanted) > 0.1:
            missed(
                f"{wanted:.2f} dB SNR is out of reach for this recording; the nearest is {reached:.2f} dB", self._strict
            )
        return data

    def to_kbps(self, wanted: float, encode_at: EncodeAt) -> bytes:
        """The file whose rate is nearest to `wanted` kbit/s; a warning if it is not within 2 %.

        Raises:
            CodecError: it is out of reach, and the search is strict.
        """

        def rounded(step: int, pieces: list[np.ndarray]) -> float:
            bits, scale = 0.0, self._coder(step).scale
            for piece in pieces:
                magnitude = np.abs(_rounded(piece / scale.measured(piece).steps.astype(piece.dtype)))
                bits += float((2 * np.log2(1 + magnitude) + (magnitude > 0)).sum())  # about what digits and signs cost
            return self._log_rate(bits, pieces)

        def coded(step: int, pieces: list[np.ndarray]) -> float:
            payloads, _ = self._coder(step).encode(pieces)
            packets = [container.write_packet(0, payload) for payload in payloads]
            return self._log_rate(8 * sum(map(len, packets)), pieces)

        def log_rate(step: int) -> tuple[bytes, float]:
            data, _ = encode_at(step)
            return data, math.log(8 * len(data) / self._seconds / 1000)

        start = self._start(math.log(wanted), rounded, coded)
        data, reached = _approach(log_rate, math.log(wanted), start, 0.0075, NEAR_SHARE, at_least=False)
        if abs(reached - math.log(wanted)) > 0.02:
            kbps = math.exp(reached)
            missed(
                f"{wanted:.2f} kbps is out of reach for this recording; the nearest is {kbps:.2f} kbps", self._strict
            )
        return data

    def _start(self, wanted: float, rounded: Measure, coded: Measure) -> int:
        """The step at which `rounded`, corrected by what `coded` differs from it, comes nearest to `wanted`."""
        pieces = _pieces(self._audio, self._rate, self._coder(0).hop)
        count = min(max(TRIED_SHARE * self._seconds / PIECE_SECONDS, TRIED[0]), TRIED[1])
        tried = pieces[:: math.ceil(len(pieces) / count)]
        first = _nearest(lambda step: rounded(step, tried) - wanted, 0, LAST_STEP)
        if len(tried) == len(pieces):  # coding the whole file is as quick
            return first
        wanted -= coded(first, tried) - rounded(first, tried)
        low, high = max(first - SPREAD, 0), min(first + SPREAD, LAST_STEP)
        return _nearest(lambda step: rounded(step, pieces) - wanted, low, high)

    def _log_rate(self, bits: float, pieces: list[np.ndarray]) -> float:
        return math.log(max(bits, 1.0) / sum(piece.size for piece in pieces) * self._rate / 1000)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Values [frames, bins], float32, rounded with a dead zone."""
    return np.sign(values) * np.floor(np.abs(values) + np.float32(1 - ROUNDED_UP))


def _energy(*parts: np.ndarray) -> float:
    return sum(float(np.square(part).sum()) for part in parts)


def _decibels(signal: float, error: float) -> float:
    return 10 * math.log10(max(signal, 1e-30) / max(error, 1e-30))


def _pieces(audio: Samples, sample_rate: int, hop: int) -> list[np.ndarray]:
    """Coefficients [frames, hop], float32, of pieces of equal length spread evenly over audio."""
    transform, size = ExactMDCT(hop), round(PIECE_SECONDS * sample_rate)
    count = min(math.ceil(len(audio) / size), LOOKED_AT)
    pieces = []
    for start in np.linspace(0, max(len(audio) - size, 0), count).astype(int):
        piece = floats(audio[start : start + size])
        padded = np.pad(piece, (0, -len(piece) % hop + hop))
        frames, _ = transform.analyse(transform.silence(), padded)
        pieces.append(frames.astype(np.float32))
    return pieces


def _nearest(excess: Callable[[int], float], low: int, high: int) -> int:
    """The step from low to high at which `excess`, which grows with the step, is nearest to zero."""
    below, above = excess(low), excess(high)
    while high - low > 1 and below < 0 < above:
        middle = (low + high) // 2
        value = excess(middle)
        if value < 0:
            low, below = middle, value
        else:
            high, above = middle, value
    return low if abs(below) < abs(above) else high


def _approach(
    measure: Callable[[int], tuple[bytes, float]],
    wanted: float,
    step: int,
    slope: float,
    near: float,
    at_least: bool,
) -> tuple[bytes, float]:
    """The file at the step whose measure comes nearest to `wanted`, and its measure, which grows by about `slope` a step.

    Args:
        near: a distance that is good enough.
        at_least: of the files that are further away, take one below `wanted` only if there is none above.
    """
    tried: dict[int, tuple[bytes, float]] = {}
    for _ in range(ATTEMPTS):
        if step in tried:
            break
        tried[step] = measure(step)
        distance = tried[step][1] - wanted
        if abs(distance) <= near:
            break
        below = [other for other in tried if tried[other][1] < wanted]
        above = [other for other in tried if tried[other][1] >= wanted]
        moved = round(step - distance / slope) or step - int(math.copysign(1, distance))
        if below and above:  # between the nearest on either side
            low, high = max(below), min(above)
            share = (wanted - tried[low][1]) / (tried[high][1] - tried[low][1])
            moved = low + min(max(round(share * (high - low)), 1), max(high - low - 1, 1)) if high - low > 1 else low
        step = min(max(moved, 0), LAST_STEP)

    def rank(tried_step: int) -> tuple[bool, float]:
        above = tried[tried_step][1] - wanted
        return at_least and above < -near, abs(above)

    return tried[min(tried, key=rank)]

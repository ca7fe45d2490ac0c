"""Frames of coefficients to audio; where frames are lost, the speech goes on as it was and fades.

The last period of what was heard repeats, gives way to noise of the same spectrum, and is silent after 120 ms. Lost frames
become the MDCT of that, so that both joints are ordinary overlaps of windows. It waits for nothing, and all sums are exact:
every machine gives the same samples.

Source: repetition of the pitch period as in ITU-T G.711, appendix I, there without a transform.
"""

import functools

import numpy as np

from telucodec.mdct import BASIS_BITS, ExactMDCT, on_grid
from telucodec.noise import noise

FADE = 8  # frames from full level to silence
PERIODIC = 0.875  # what remains of the periodic part from one frame to the next; noise takes the place of the rest
SHORTEST, LONGEST = 1 / 3, 4 / 3  # hops: the periods looked at, 5 to 20 ms; a higher voice has several in one
COMPARED = 1 / 3  # hops of the past in which the speech must repeat itself
HALF_KNOWN = 4.0  # weight of the hop after the past, of which the last frame before the loss tells half
PAST = 3  # hops to remember: the longest period and what it is compared with, and the last two frames

# It has no state, and its basis takes longer to compute than a packet to decode.
transform_of = functools.cache(ExactMDCT)


class Synthesis:
    """The output of one recording."""

    def __init__(self, hop: int):
        self._transform = transform_of(hop)
        self._overlap = self._transform.silence()
        self._past = np.zeros(PAST * hop)
        self._window = on_grid(np.sin(np.pi * (np.arange(hop, 2 * hop) + 0.5) / (2 * hop)), BASIS_BITS)
        self._lost = 0  # frames in a row
        self._period, self._spectrum = np.zeros(1), np.zeros(hop)  # what the present loss goes on from

    def push(self, frames: np.ndarray) -> np.ndarray:
        """The next frames [frames, hop] to audio [frames * hop]. It ends one hop before the end of the frames."""
        self._lost = 0
        return self._output(frames)

    def conceal(self, count: int) -> np.ndarray:
        """Audio [count * hop] in the place of lost frames."""
        if not self._lost:
            self._period = _period(self._past, self._best_period())
            self._spectrum = self._last_spectrum()
        audio = self._output(self._continued(count))
        self._lost += count
        return audio

    def _output(self, frames: np.ndarray) -> np.ndarray:
        audio, self._overlap = self._transform.synthesise(self._overlap, frames)
        self._past = np.concatenate([self._past, audio])[-len(self._past) :]
        return audio

    def _continued(self, count: int) -> np.ndarray:
        """The next lost frames [count, hop]."""
        hop, frames = self._transform.hop, np.zeros((count, self._transform.hop))
        heard = min(count, max(FADE - self._lost, 0))
        if heard:
            samples = np.arange(self._lost * hop, (self._lost + heard + 1) * hop)
            repeated = self._period[samples % len(self._period)]
            periodic, _ = self._transform.analyse(repeated[:hop], repeated[hop:])
            signs = noise(self._lost * hop, heard * hop).reshape(heard, hop)
            number = np.arange(self._lost, self._lost + heard)[:, None]
            share = np.cumprod(np.full(FADE, PERIODIC))[number] / PERIODIC
            both = share * periodic + np.sqrt(1 - share * share) * signs * self._spectrum
            frames[:heard] = (1 - number / FADE) * both
        return frames

    def _last_spectrum(self) -> np.ndarray:
        """RMS [hop] of the last two frames of what was heard."""
        hop = self._transform.hop
        (first, second), _ = self._transform.analyse(self._past[-3 * hop : -2 * hop], self._past[-2 * hop :])
        return np.sqrt((first * first + second * second) / 2)

    def _best_period(self) -> int:
        """The lag, in samples, at which the past repeats itself best, and goes on as the last frame says.

        Of the hop after the past that frame holds each sample plus its mirror image, both windowed (`_aliased`).
        """
        hop, past, known = self._transform.hop, on_grid(self._past), on_grid(self._overlap)
        lags, compared = range(round(SHORTEST * hop), round(LONGEST * hop) + 1), round(COMPARED * hop)
        last = past[-compared:]
        earlier = np.stack([past[len(past) - lag - compared : len(past) - lag] for lag in lags])
        later = self._aliased(np.stack([_repeated(_period(past, lag), hop) for lag in lags]))
        common = earlier @ last + HALF_KNOWN * (later @ known)
        energy = np.square(earlier).sum(1) + HALF_KNOWN * np.square(later).sum(1)
        return lags[int((common / np.sqrt(np.maximum(energy, 1e-9))).argmax())]

    def _aliased(self, audio: np.ndarray) -> np.ndarray:
        """What a frame gives for its second half [..., hop] before the next frame is added."""
        windowed = self._window * audio
        return on_grid(self._window * (windowed + windowed[..., ::-1]))


def _period(past: np.ndarray, lag: int) -> np.ndarray:
    """The last `lag` samples, whose last quarter passes over into what comes before the first, so that they can repeat."""
    quarter = lag // 4
    rising = (np.arange(quarter) + 0.5) / quarter
    period = past[-lag:].copy()
    period[-quarter:] += rising * (past[-lag - quarter : -lag] - period[-quarter:])
    return on_grid(period)


def _repeated(period: np.ndarray, count: int) -> np.ndarray:
    return period[np.arange(count) % len(period)]

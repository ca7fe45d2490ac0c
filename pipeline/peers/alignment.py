"""Takes out the delay that a codec leaves in its output."""

import numpy as np
from scipy.signal import correlate, correlation_lags

from pipeline.peers.peer import SAMPLE_RATE

LONGEST_DELAY = SAMPLE_RATE // 16  # samples: 62.5 ms; codecs leave up to 40 ms


def aligned(reference: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Decoded audio, shifted by the lag at which it correlates best with the reference, as long as that, float32 [samples].

    A comparison with it is rather too kind to the other codec than unfair.
    """
    correlation = correlate(decoded, reference, method="fft")
    lags = correlation_lags(len(decoded), len(reference))
    near = np.abs(lags) <= LONGEST_DELAY
    lag = int(lags[near][correlation[near].argmax()])
    shifted = decoded[lag:] if lag >= 0 else np.pad(decoded, (-lag, 0))
    return np.pad(shifted, (0, max(0, len(reference) - len(shifted))))[: len(reference)].astype(np.float32)

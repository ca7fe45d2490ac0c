"""Measures of decoded against original speech, for one clip each.

`reference` and `estimate` are float32 arrays [samples] of equal length at 16 kHz. Higher is better, but `mel_distance` is
best at 0 and `range_ratio` at 1. A measure that is not defined for a clip is NaN: any ratio to a silent reference, PESQ
where it finds no utterance in the reference, STOI of less than 0.4 s of speech, SI-SDR and PESQ of an estimate of zeros.
Such a clip is left out of that measure's mean. PESQ and STOI come with `pip install telucodec[metrics]`.
"""

import functools
import math
import warnings

import numpy as np

from telucodec.errors import CodecError

SAMPLE_RATE = 16000
SILENT = 1e-8  # mean square below which a signal counts as silence
FRAME = 320  # samples of a frame of the segmental SNR
SEGMENT_RANGE = -10.0, 35.0  # dB
PESQ_SECONDS = 20  # the pesq package has room for 50 utterances of at least 0.4 s with their pause, and crashes on more
MEL_WINDOWS = 512, 1024, 2048


def measure(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """All measures of a clip by name.

    Raises:
        CodecError: the arrays are not one-dimensional and equally long, or hold NaN or infinite samples; or PESQ and STOI are
            not installed.
    """
    if reference.ndim != 1 or reference.shape != estimate.shape:
        raise CodecError(
            f"reference {reference.shape} and estimate {estimate.shape} must be [samples] of equal length; "
            "align and cut them first"
        )
    for name, signal in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(signal).all():
            raise CodecError(f"the {name} holds NaN or infinite samples")
    measures = (snr, si_sdr, segmental_snr, pesq_wb, stoi, mel_distance, range_ratio)
    return {function.__name__: function(reference, estimate) for function in measures}


def snr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Signal-to-noise ratio in dB: energy of the reference over energy of the difference."""
    if _is_silent(reference):
        return math.nan
    clean = reference.astype(np.float64)
    return _decibels(np.square(clean).sum(), np.square(clean - estimate).sum())


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., ICASSP 2019); means are kept."""
    if _is_silent(reference) or not estimate.any():
        return math.nan
    clean, decoded = reference.astype(np.float64), estimate.astype(np.float64)
    target = clean * (decoded @ clean / (clean @ clean))
    return _decibels(np.square(target).sum(), np.square(decoded - target).sum())


def segmental_snr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Mean over 20 ms frames of the SNR held within [-10, 35] dB; silent frames are left out.

    Source: Hansen and Pellom, "An effective quality evaluation protocol for speech enhancement algorithms", ICSLP 1998.
    """
    frames = len(reference) // FRAME
    clean, decoded = (
        signal[: frames * FRAME].reshape(frames, FRAME).astype(np.float64) for signal in (reference, estimate)
    )
    signal, noise = np.square(clean).sum(1), np.square(clean - decoded).sum(1)
    audible = signal > SILENT * FRAME
    if not audible.any():
        return math.nan
    ratio = 10 * np.log10(signal[audible] / np.maximum(noise[audible], 1e-20))
    return float(np.clip(ratio, *SEGMENT_RANGE).mean())


def pesq_wb(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Wide-band PESQ (ITU-T P.862.2), mean opinion score from 1.0 to 4.6; above 20 s the mean of equal pieces."""
    pieces = max(1, math.ceil(len(reference) / (PESQ_SECONDS * SAMPLE_RATE)))
    scores = map(_pesq_of_piece, np.array_split(reference, pieces), np.array_split(estimate, pieces))
    defined = [score for score in scores if not math.isnan(score)]
    return sum(defined) / len(defined) if defined else math.nan


def stoi(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Short-time objective intelligibility (Taal et al., ICASSP 2010), up to 1."""
    try:
        from pystoi import stoi as short_time_intelligibility
    except ImportError as error:
        raise _not_installed(error) from None
    if _is_silent(reference):
        return math.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Not enough STFT frames")
        try:
            return float(short_time_intelligibility(reference, estimate, SAMPLE_RATE))
        except (RuntimeWarning, ValueError):  # less speech than one of its windows
            return math.nan


def mel_distance(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Mean absolute difference of log10 mel spectra (40 or 80 bands) over three window lengths; lower is better."""
    distances = (np.abs(_log_mel(reference, window) - _log_mel(estimate, window)).mean() for window in MEL_WINDOWS)
    return float(sum(distances)) / len(MEL_WINDOWS)


def range_ratio(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Peak-to-peak of the estimate over the reference's; 1 is best."""
    span = float(np.ptp(reference))
    return float(np.ptp(estimate)) / span if span > 0 else math.nan


def _pesq_of_piece(reference: np.ndarray, estimate: np.ndarray) -> float:
    try:
        from pesq import NoUtterancesError, pesq
    except ImportError as error:
        raise _not_installed(error) from None
    if len(reference) < SAMPLE_RATE // 4 or _is_silent(reference) or not estimate.any():
        return math.nan
    try:
        return float(pesq(SAMPLE_RATE, reference, estimate, "wb"))
    except NoUtterancesError:
        return math.nan


def _not_installed(error: ImportError) -> CodecError:
    return CodecError(f"measuring needs the package {error.name}: pip install 'telucodec[metrics]'")


def _decibels(signal: float, noise: float) -> float:
    smallest = float(np.finfo(np.float64).eps)
    return 10 * math.log10((float(signal) + smallest) / (float(noise) + smallest))


def _log_mel(signal: np.ndarray, window: int) -> np.ndarray:
    """Base-10 logarithms [bands, frames] of magnitudes in mel bands, frames centred on every quarter of the window."""
    padded = np.pad(signal.astype(np.float64), window // 2)
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    spectrum = np.abs(np.fft.rfft(frames * shape))
    return np.log10(np.maximum(spectrum @ _mel_bands(window), 1e-5))


@functools.cache
def _mel_bands(window: int) -> np.ndarray:
    """Triangles [bins, bands] between 0 Hz and half the sample rate, evenly spaced in mel (2595 log10(1 + f / 700))."""
    bands = 80 if window > 512 else 40  # narrower bands than an FFT bin would be empty
    frequency = np.linspace(0, SAMPLE_RATE / 2, window // 2 + 1)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), bands + 2) / 2595) - 1)
    width = np.diff(edges)
    rising = (frequency[:, None] - edges[:-2]) / width[:-1]
    falling = (edges[2:] - frequency[:, None]) / width[1:]
    return np.maximum(0, np.minimum(rising, falling))


def _is_silent(signal: np.ndarray) -> bool:
    return not len(signal) or float(np.square(signal, dtype=np.float64).mean()) < SILENT

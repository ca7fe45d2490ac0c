"""Measures of decoded against original speech, for one clip each.

`reference` and `estimate` are float32 arrays [samples] of equal length at 16 kHz. Higher is better, but `mel_distance` is
best at 0 and `range_ratio` at 1. A measure that is not defined for a clip is NaN: any ratio to a silent reference, PESQ
where it finds no utterance in the reference, STOI of less than 0.4 s of speech, SI-SDR and PESQ of an estimate of zeros.
Such a clip is left out of that measure's mean.
"""

import functools
import math
import warnings

import numpy as np
import torch

from codec.torchaudio_import import import_torchaudio

SAMPLE_RATE = 16000
SILENT = 1e-8  # mean square below which a signal counts as silence
FRAME = 320  # samples of a frame of the segmental SNR
SEGMENT_RANGE = -10.0, 35.0  # dB
PESQ_SECONDS = 20  # the pesq package has room for 50 utterances of at least 0.4 s with their pause, and crashes on more
MEL_WINDOWS = 512, 1024, 2048


def measure(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """All measures of a clip by name.

    Raises:
        ValueError: the arrays are not one-dimensional and equally long, or hold NaN or infinite samples.
    """
    if reference.ndim != 1 or reference.shape != estimate.shape:
        raise ValueError(
            f"reference {reference.shape} and estimate {estimate.shape} must be [samples] of equal length; "
            "align and cut them first"
        )
    for name, signal in (("reference", reference), ("estimate", estimate)):
        if not np.isfinite(signal).all():
            raise ValueError(f"the {name} holds NaN or infinite samples")
    measures = (snr, si_sdr, segmental_snr, pesq_wb, stoi, mel_distance, range_ratio)
    return {function.__name__: function(reference, estimate) for function in measures}


def snr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Signal-to-noise ratio in dB: energy of the reference over energy of the difference."""
    from torchmetrics.functional.audio import signal_noise_ratio  # takes seconds to import

    if _is_silent(reference):
        return math.nan
    return float(signal_noise_ratio(_tensor(estimate).double(), _tensor(reference).double()))


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., ICASSP 2019); means are kept."""
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    if _is_silent(reference) or not estimate.any():
        return math.nan
    return float(scale_invariant_signal_distortion_ratio(_tensor(estimate).double(), _tensor(reference).double()))


def segmental_snr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Mean over 20 ms frames of the SNR held within [-10, 35] dB; silent frames are left out.

    Source: Hansen and Pellom, "An effective quality evaluation protocol for speech enhancement algorithms", ICSLP 1998.
    """
    frames = len(reference) // FRAME
    clean, decoded = (
        signal[: frames * FRAME].reshape(frames, FRAME).astype(np.float64) for signal in (reference, estimate)
    )
    signal, noise = np.square(clean).sum(1), np.square(clean - decoded).sum(1)
    heard = signal > SILENT * FRAME
    if not heard.any():
        return math.nan
    ratio = 10 * np.log10(signal[heard] / np.maximum(noise[heard], 1e-20))
    return float(np.clip(ratio, *SEGMENT_RANGE).mean())


def pesq_wb(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Wide-band PESQ (ITU-T P.862.2), mean opinion score from 1.0 to 4.6; above 20 s the mean of equal pieces."""
    pieces = max(1, math.ceil(len(reference) / (PESQ_SECONDS * SAMPLE_RATE)))
    scores = map(_pesq_of_piece, np.array_split(reference, pieces), np.array_split(estimate, pieces))
    defined = [score for score in scores if not math.isnan(score)]
    return sum(defined) / len(defined) if defined else math.nan


def stoi(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Short-time objective intelligibility (Taal et al., ICASSP 2010), up to 1."""
    from pystoi import stoi as short_time_intelligibility

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
    distances = []
    for window in MEL_WINDOWS:
        clean, decoded = (_log_mel(_tensor(signal), window) for signal in (reference, estimate))
        distances.append(float((clean - decoded).abs().mean()))
    return sum(distances) / len(distances)


def range_ratio(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Peak-to-peak of the estimate over the reference's; 1 is best."""
    span = float(np.ptp(reference))
    return float(np.ptp(estimate)) / span if span > 0 else math.nan


def _pesq_of_piece(reference: np.ndarray, estimate: np.ndarray) -> float:
    from pesq import NoUtterancesError, pesq

    if len(reference) < SAMPLE_RATE // 4 or _is_silent(reference) or not estimate.any():
        return math.nan
    try:
        return float(pesq(SAMPLE_RATE, reference, estimate, "wb"))
    except NoUtterancesError:
        return math.nan


def _log_mel(signal: torch.Tensor, window: int) -> torch.Tensor:
    spectrum = torch.stft(
        signal, window, window // 4, window=torch.hann_window(window), pad_mode="constant", return_complex=True
    ).abs()
    return (_mel_bands(window).t() @ spectrum).clamp(min=1e-5).log10()


@functools.cache
def _mel_bands(window: int) -> torch.Tensor:
    functional = import_torchaudio().functional
    bands = 80 if window > 512 else 40  # narrower bands than an FFT bin would be empty
    return functional.melscale_fbanks(window // 2 + 1, 0.0, SAMPLE_RATE / 2, bands, SAMPLE_RATE)


def _is_silent(signal: np.ndarray) -> bool:
    return not len(signal) or float(np.square(signal, dtype=np.float64).mean()) < SILENT


def _tensor(signal: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(signal, dtype=np.float32))

"""Codec2: a vocoder for 8 kHz, whose output keeps no waveform (its SNR says nothing)."""

import functools

import numpy as np
import soxr

from pipeline.peers import ffmpeg
from pipeline.peers.peer import SAMPLE_RATE, Coded, Peer, mode_below

RATE = 8000  # Hz
MODES = 1.2, 1.3, 1.4, 1.6, 2.4, 3.2  # kbit/s


def _code(audio: np.ndarray, kbps: float) -> Coded:
    mode = "-mode", str(round(1000 * mode_below(MODES, kbps)))
    narrow = soxr.resample(audio, SAMPLE_RATE, RATE)
    data = ffmpeg.encode(narrow, RATE, "-c:a", "libcodec2", *mode, "-f", "codec2raw")
    decoded = ffmpeg.decode(data, "-f", "codec2raw", *mode)
    return Coded(soxr.resample(decoded, RATE, SAMPLE_RATE), len(data))


PEER = Peer(
    name="codec2",
    title="Codec2",
    rates=(1.2, 3.2),
    judged=(),
    lowest=MODES[0],
    highest=MODES[-1],
    code=_code,
    missing=functools.partial(ffmpeg.missing, "libcodec2"),
)

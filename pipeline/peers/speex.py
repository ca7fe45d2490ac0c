"""Speex, wide band, constant rate, 20 ms frames of whole bytes; no rate lifts its SNR much: look at PESQ."""

import functools

import numpy as np

from pipeline.peers import ffmpeg
from pipeline.peers.peer import SAMPLE_RATE, Coded, Peer, mode_below

MODES = 3.95, 5.75, 7.75, 9.8, 12.8, 16.8, 20.6, 23.8, 27.8, 34.2, 42.2  # kbit/s of quality 0 to 10


def ogg_packets(data: bytes) -> list[int]:
    """Bytes of each packet of an Ogg stream (RFC 3533, section 6); the first two of Speex are headers."""
    packets, size, at = [], 0, 0
    while at < len(data):
        segments = data[at + 27 : at + 27 + data[at + 26]]
        for segment in segments:
            size += segment
            if segment < 255:
                packets.append(size)
                size = 0
        at += 27 + len(segments) + sum(segments)
    return packets


def _code(audio: np.ndarray, kbps: float) -> Coded:
    quality = MODES.index(mode_below(MODES, kbps))
    data = ffmpeg.encode(audio, SAMPLE_RATE, "-c:a", "libspeex", "-cbr_quality", str(quality), "-f", "ogg")
    return Coded(ffmpeg.decode(data), sum(ogg_packets(data)[2:]))


PEER = Peer(
    name="speex",
    title="Speex",
    rates=(5.75, 9.8, 16.8, 27.8),
    judged=(),
    lowest=MODES[0],
    highest=MODES[-1],
    code=_code,
    missing=functools.partial(ffmpeg.missing, "libspeex"),
)

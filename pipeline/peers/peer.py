"""What a codec to compare with is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SAMPLE_RATE = 16000  # Hz, of all audio here


class PeerError(ValueError):
    """There is no such codec, it is not installed, or it has no such rate; the message says what there is, or what to install."""


class Coded(NamedTuple):
    audio: np.ndarray  # float32 [samples]
    payload_bytes: int  # of the codec's packets, without a file's framing


class Peer(NamedTuple):
    name: str
    title: str
    rates: tuple[float, ...]  # kbit/s to compare at
    judged: tuple[float, ...]  # those of the rates at which stage `compare` asks judges, which take seconds a clip
    lowest: float  # kbit/s that it can be asked for; between its modes it takes the lower one
    highest: float
    code: Callable[[np.ndarray, float], Coded]  # float32 [samples] and kbit/s; may leave the codec's delay in
    missing: Callable[[], str | None]  # what to install; None: it is all there


def mode_below(modes: tuple[float, ...], kbps: float) -> float:
    return max(mode for mode in modes if mode <= kbps)

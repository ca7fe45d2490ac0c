"""What the table of `python -m pipeline.peers` has a row for: another codec at a rate, or this package's own at a point."""

import functools
from typing import NamedTuple

import numpy as np

import telucodec
from pipeline import peers
from pipeline.peers import measuring
from telucodec import CodecError, OperatingPoint


class Target(NamedTuple):
    codec: str  # a name of `peers.PEERS`, or telucodec
    kbps: float = 0.0  # what another codec is asked for
    point: OperatingPoint | None = None  # what the models that come with this package are asked for

    @property
    def label(self) -> str:
        return self.point.label if self.point else f"{peers.PEERS[self.codec].title}, {self.kbps:g} kbit/s"


def parse(word: str) -> list[Target]:
    """`opus@8`: Opus at 8 kbit/s; `opus`: Opus at all rates of its file; `tokens_8`: an operating point of telucodec.

    Raises:
        PeerError: no such codec, not installed, not that rate, or no such operating point.
    """
    name, at, rate = word.partition("@")
    if not at and name not in peers.PEERS:
        try:
            return [Target("telucodec", point=OperatingPoint.parse(name))]
        except CodecError as error:
            raise peers.PeerError(f"{error}; nor is it one of the codecs {', '.join(peers.PEERS)}") from None
    peers.require(name)
    if not at:
        return [Target(name, kbps) for kbps in peers.PEERS[name].rates]
    try:
        kbps = float(rate)
    except ValueError:
        raise peers.PeerError(f"{word}: {rate!r} is not a rate in kbit/s") from None
    peers.require(name, kbps)
    return [Target(name, kbps)]


def score(target: Target, audio: np.ndarray, judge_names: list[str]) -> dict[str, float]:
    """`kbps` as spent, every measure of telucodec.audio.metrics, and what judges say about a clip."""
    if target.point is None:
        return measuring.score(target.codec, audio, target.kbps, judge_names)
    data = shipped().encode(audio, **target.point.arguments)
    kbps = 8 * len(data) * peers.SAMPLE_RATE / len(audio) / 1000
    return {"kbps": kbps, **measuring.measured(audio, shipped().decode(data), judge_names)}


@functools.cache
def shipped() -> telucodec.Codec:
    """The models that come with this package; each process reads them once."""
    return telucodec.load()

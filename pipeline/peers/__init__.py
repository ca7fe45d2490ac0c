"""Codecs to compare with, at 16 kHz mono, one file each. `python -m pipeline.peers FOLDER` measures them on your recordings.

What a codec spends is counted in bytes of its packets. A file would add its framing, which for Opus in Ogg is 1.9 kbit/s on
clips of 7 s.
"""

import numpy as np

from pipeline.peers import codec2, lc3, lyra, nolace, opus, speex
from pipeline.peers.alignment import aligned
from pipeline.peers.peer import SAMPLE_RATE, Coded, Peer, PeerError

__all__ = ["PEERS", "SAMPLE_RATE", "Coded", "Peer", "PeerError", "code", "installed", "kbps", "require"]

PEERS = {room.PEER.name: room.PEER for room in (opus, nolace, lyra, lc3, speex, codec2)}


def installed() -> list[str]:
    """Names of the codecs that can run here."""
    return [name for name, peer in PEERS.items() if peer.missing() is None]


def require(name: str, kbps: float | None = None) -> None:
    """Check that a codec can run here, and at a rate if one is given.

    Raises:
        PeerError: there is no such codec, it is not installed, or it has no such rate.
    """
    if name not in PEERS:
        raise PeerError(f"no codec {name!r} to compare with; there are {', '.join(PEERS)}")
    peer = PEERS[name]
    if reason := peer.missing():
        raise PeerError(f"{name} {reason}")
    if kbps is not None and not peer.lowest <= kbps <= peer.highest:
        raise PeerError(f"{name} has no {kbps:g} kbit/s; ask for {peer.lowest:g} to {peer.highest:g}")


def code(name: str, audio: np.ndarray, kbps: float) -> Coded:
    """Encode and decode a clip.

    Args:
        name: one of `installed()`.
        audio: float32 [samples] at 16 kHz, full scale at 1.
        kbps: the rate to ask for, in kbit/s; what was spent is `payload_bytes`.

    Returns:
        The decoded audio, float32 [samples], aligned with the input and as long, and the bytes of all packets.

    Raises:
        PeerError: no such codec, not installed, or not that rate.
        ValueError: `audio` is empty, not one-dimensional, or holds NaN or infinite samples.
    """
    require(name, kbps)
    if audio.ndim != 1 or not len(audio) or not np.isfinite(audio).all():
        raise ValueError(f"audio {audio.shape} must be [samples], at least one, all finite")
    decoded, payload_bytes = PEERS[name].code(np.ascontiguousarray(audio, dtype=np.float32), kbps)
    return Coded(aligned(audio, decoded), payload_bytes)


def kbps(coded: Coded) -> float:
    """What a clip spent, in kbit/s."""
    return coded.payload_bytes * 8 * SAMPLE_RATE / len(coded.audio) / 1000

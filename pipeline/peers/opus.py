"""Opus, encoded by the libopus that comes with PyAV (1.6.1 in av 18) and decoded by the one in soundfile."""

import io
from importlib.util import find_spec

import numpy as np
import soundfile

from pipeline.peers.peer import SAMPLE_RATE, Coded, Peer
from telucodec.audio.samples import whole_numbers

FRAME_MS = 20
COMPLEXITY = 10  # the encoder's best


def encode(audio: np.ndarray, kbps: float, application: str) -> tuple[bytes, list[int]]:
    """An Ogg Opus file, and the bytes of each packet; VBR around the rate asked for.

    Args:
        audio: float32 [samples] at 16 kHz, so at most wide band.
        application: `audio` or `voip`.
    """
    import av

    file, packets = io.BytesIO(), []
    options = {"application": application, "frame_duration": str(FRAME_MS), "compression_level": str(COMPLEXITY)}
    with av.open(file, "w", format="ogg") as ogg:
        stream = ogg.add_stream("libopus", rate=SAMPLE_RATE, layout="mono", options=options)
        stream.bit_rate = round(kbps * 1000)
        frame = av.AudioFrame.from_ndarray(whole_numbers(audio)[None], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            packets.append(packet.size)
            ogg.mux(packet)
    return file.getvalue(), packets


def missing() -> str | None:
    return None if find_spec("av") else "needs PyAV: pip install 'telucodec[formats]'"


def _code(audio: np.ndarray, kbps: float) -> Coded:
    data, packets = encode(audio, kbps, "audio")
    decoded, _ = soundfile.read(io.BytesIO(data), dtype="float32")  # without the pre-skip
    return Coded(decoded, sum(packets))


PEER = Peer(
    name="opus",
    title="Opus",
    rates=(6, 8, 12, 16, 24, 32),
    judged=(6,),
    lowest=6,
    highest=256,
    code=_code,
    missing=missing,
)

"""Opus, encoded by the libopus that comes with PyAV (1.6.1 in av 18) and decoded by the one in soundfile."""

import ctypes
import functools
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile

from pipeline.peers.peer import SAMPLE_RATE, Coded, Peer, PeerError
from telucodec.audio.samples import whole_numbers

FRAME_MS = 20
COMPLEXITY = 10  # the encoder's best


def encode(audio: np.ndarray, kbps: float, application: str) -> tuple[bytes, list[bytes]]:
    """An Ogg Opus file, and its packets; VBR around the rate asked for.

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
            packets.append(bytes(packet))
            ogg.mux(packet)
    return file.getvalue(), packets


def missing() -> str | None:
    return None if find_spec("av") else "needs PyAV: pip install 'telucodec[formats]'"


def _code(audio: np.ndarray, kbps: float) -> Coded:
    data, packets = encode(audio, kbps, "audio")
    decoded, _ = soundfile.read(io.BytesIO(data), dtype="float32")  # without the pre-skip
    return Coded(decoded, sum(map(len, packets)))


def decode(packets: list[bytes | None]) -> np.ndarray:
    """Packets to float32 samples at 16 kHz by PyAV's libopus, which conceals those that are None; the encoder's delay is left in.

    Raises:
        PeerError: this PyAV does not come with a libopus that can be called, or that refuses a packet.
    """
    library, error = _library(), ctypes.c_int()
    decoder = library.opus_decoder_create(SAMPLE_RATE, 1, ctypes.byref(error))
    try:
        parts = []
        for packet in packets:
            part = (ctypes.c_float * (SAMPLE_RATE * FRAME_MS // 1000))()
            size = 0 if packet is None else len(packet)
            if library.opus_decode_float(decoder, packet, size, part, len(part), 0) != len(part):
                raise PeerError("libopus refuses a packet")
            parts.append(np.array(part, np.float32))
        return np.concatenate(parts)
    finally:
        library.opus_decoder_destroy(decoder)


def version() -> str:
    """The libopus of PyAV, such as `libopus 1.6.1`.

    Raises:
        PeerError: this PyAV does not come with a libopus that can be called.
    """
    return _library().opus_get_version_string().decode()


@functools.cache
def _library() -> ctypes.CDLL:
    import av

    folder = Path(av.__file__).parents[1]
    found = sorted([*folder.glob("av.libs/libopus*"), *folder.glob("av/.dylibs/libopus*")])
    if not found:
        raise PeerError("this PyAV has no libopus that can be called; install it from a wheel: pip install av")
    library = ctypes.CDLL(str(found[0]))
    library.opus_get_version_string.restype = ctypes.c_char_p
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_decode_float.argtypes = [
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32),
        *(ctypes.POINTER(ctypes.c_float), ctypes.c_int, ctypes.c_int),
    ]
    return library


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

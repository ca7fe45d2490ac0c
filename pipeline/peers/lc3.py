"""LC3, the codec of Bluetooth LE Audio: constant rate, frames of 10 ms in whole bytes, by Google's liblc3 in lc3py."""

from importlib.util import find_spec

import numpy as np

from pipeline.peers.peer import SAMPLE_RATE, Coded, Peer
from telucodec.audio.samples import floats, whole_numbers

FRAME_US, FRAMES_PER_SECOND = 10_000, 100
LEAST, MOST = 20, 400  # bytes of a frame


def _code(audio: np.ndarray, kbps: float) -> Coded:
    import lc3

    encoder, decoder = lc3.Encoder(FRAME_US, SAMPLE_RATE), lc3.Decoder(FRAME_US, SAMPLE_RATE)
    size, frame = int(1000 * kbps / 8 / FRAMES_PER_SECOND), encoder.get_frame_samples()
    pad = encoder.get_delay_samples()  # so that the end of the clip comes out, too
    samples = np.pad(whole_numbers(audio), (0, pad + -(len(audio) + pad) % frame))
    packets = [encoder.encode(part.tobytes(), size, 16) for part in samples.reshape(-1, frame)]
    decoded = np.frombuffer(b"".join(decoder.decode(packet, 16) for packet in packets), np.int16)
    return Coded(floats(decoded), sum(map(len, packets)))


def missing() -> str | None:
    return None if find_spec("lc3") else "needs lc3py: pip install 'telucodec[peers]'"


PEER = Peer(
    name="lc3",
    title="LC3",
    rates=(16, 24, 32),
    judged=(),
    lowest=8 * LEAST * FRAMES_PER_SECOND / 1000,
    highest=8 * MOST * FRAMES_PER_SECOND / 1000,
    code=_code,
    missing=missing,
)

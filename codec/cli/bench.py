"""`telucodec bench`: how fast the codec is against real time."""

import argparse
import time
from collections.abc import Iterator

import numpy as np

from telucodec import OperatingPoint, load
from telucodec.codec import Codec
from telucodec.errors import CodecError

POINTS = (
    OperatingPoint(step=400),
    OperatingPoint(step=400, perception=1.0),
    OperatingPoint(snr=10),
    OperatingPoint(tokens=4),
    OperatingPoint(tokens=8),
    OperatingPoint(tokens=0),
)


def run(options: argparse.Namespace) -> None:
    if options.seconds < 1:
        raise CodecError(f"--seconds must be at least 1, got {options.seconds:g}")
    for line in speed(load(options.model), options.seconds):
        print(line, flush=True)


def speed(codec: Codec, seconds: float) -> Iterator[str]:
    """Lines with the speed at some operating points, on so many seconds of audio."""
    count = round(seconds * codec.sample_rate)
    # Noise that comes and goes like syllables: the time a frame takes depends little on what it holds.
    random = np.random.default_rng(0)
    shape = np.abs(np.sin(np.arange(count) * 12 / codec.sample_rate)) * 0.1
    audio = (np.convolve(random.standard_normal(count), np.ones(12) / 12, "same") * shape).astype(np.float32)
    codebooks = codec.num_codebooks if "tokens" in codec.kinds else 0
    for point in POINTS:
        if point.model in codec.kinds and (point.tokens or 0) <= codebooks:
            yield _whole(codec, audio, seconds, point)
    if codebooks:
        yield _streamed(codec, audio)


def _whole(codec: Codec, audio: np.ndarray, seconds: float, point: OperatingPoint) -> str:
    codec.decode(codec.encode(audio[: codec.sample_rate], **point.arguments))  # the first time sets up what is needed
    began = time.perf_counter()
    data = codec.encode(audio, **point.arguments)
    middle = time.perf_counter()
    codec.decode(data)
    end = time.perf_counter()
    return (
        f"{point.option:26} {8 * len(data) / seconds / 1000:6.2f} kbps   encode {seconds / (middle - began):6.1f} "
        f"x real time   decode {seconds / (end - middle):6.1f} x real time"
    )


def _streamed(codec: Codec, audio: np.ndarray) -> str:
    """Tokens frame by frame, as they come."""
    hop = round(codec.sample_rate / codec.frame_rate)
    frames = audio[: min(len(audio) // hop, 1000) * hop].reshape(-1, hop)
    encoder, decoder = codec.token_encoder(), codec.token_decoder()
    began = time.perf_counter()
    tokens = [encoder.push(frame) for frame in frames]
    middle = time.perf_counter()
    for frame in tokens:
        decoder.push(frame)
    end = time.perf_counter()
    each, per = 1000 * hop / codec.sample_rate, 1000 / len(frames)
    return (
        f"tokens, frame by frame: encode {(middle - began) * per:.2f} ms, decode {(end - middle) * per:.2f} ms "
        f"for a frame of {each:g} ms"
    )

"""How fast the codec is against real time."""

import time
from collections.abc import Iterator

import numpy as np

TARGETS = (
    ("waveform", {"step": 400}),
    ("waveform", {"snr": 10}),
    ("tokens", {"tokens": 4}),
    ("tokens", {"tokens": 8}),
    ("tokens", {"tokens": 0}),
)


def speed(telu, seconds: float) -> Iterator[str]:
    """Lines with the speed of a `codec.codec.Codec` at what it is asked for, on so many seconds of audio."""
    count = round(seconds * telu.sample_rate)
    # Noise that comes and goes like syllables: the time a frame takes depends little on what it holds.
    random = np.random.default_rng(0)
    shape = np.abs(np.sin(np.arange(count) * 12 / telu.sample_rate)) * 0.1
    audio = (np.convolve(random.standard_normal(count), np.ones(12) / 12, "same") * shape).astype(np.float32)
    levels = telu.token_levels if "tokens" in telu.ids else 0
    for name, target in TARGETS:
        if name in telu.ids and target.get("tokens", 0) <= levels:
            yield _whole(telu, audio, seconds, target)
    if "tokens" in telu.ids:
        yield _streamed(telu, audio)


def _whole(telu, audio: np.ndarray, seconds: float, target: dict) -> str:
    telu.decode(telu.encode(audio[: telu.sample_rate], **target))  # the first time, what is needed is set up
    began = time.perf_counter()
    data = telu.encode(audio, **target)
    middle = time.perf_counter()
    telu.decode(data)
    end = time.perf_counter()
    asked = " ".join(f"--{option} {value or 'all'}" for option, value in target.items())
    return (
        f"{asked:12} {8 * len(data) / seconds / 1000:6.2f} kbps   encode {seconds / (middle - began):6.1f} "
        f"x real time   decode {seconds / (end - middle):6.1f} x real time"
    )


def _streamed(telu, audio: np.ndarray) -> str:
    """Tokens frame by frame, as they come."""
    hop = round(telu.sample_rate / telu.token_rate)
    frames = audio[: min(len(audio) // hop, 1000) * hop].reshape(-1, hop)
    encoder, decoder = telu.token_encoder(), telu.token_decoder()
    began = time.perf_counter()
    tokens = [encoder.push(frame) for frame in frames]
    middle = time.perf_counter()
    for frame in tokens:
        decoder.push(frame)
    end = time.perf_counter()
    each, per = 1000 * hop / telu.sample_rate, 1000 / len(frames)
    return (
        f"tokens, frame by frame: encode {(middle - began) * per:.2f} ms, decode {(end - middle) * per:.2f} ms "
        f"for a frame of {each:g} ms"
    )

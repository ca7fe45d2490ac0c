"""Clips to hear and to see: some of the test split, as every codec gives them back."""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
import soundfile
from PIL import Image
from scipy.signal import stft

from codec import codec
from codec.metrics import SAMPLE_RATE, measure
from pipeline import files, peers
from pipeline.sections import Evaluate
from pipeline.shards import Shards

WINDOW, HOP = 512, 160  # samples of a spectrogram's frame, and from one to the next: 10 ms
RANGE_DB = 75  # from the loudest to black
HEIGHT = 160  # pixels
MAGMA = ((0, 0, 4), (59, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
OPUS_KBPS = 6, 64  # asked for


class Version(NamedTuple):
    name: str
    measures: dict[str, float]  # kbps, snr, pesq_wb, stoi; empty for the original
    audio: str  # data URI, FLAC
    picture: str  # data URI, spectrogram from 0 to 8 kHz


class Example(NamedTuple):
    rank: str
    clip: str
    speaker: str
    seconds: float
    versions: list[Version]


def examples(
    scores: dict[str, list[dict]], points: dict[str, str], ranked_by: str, settings: Evaluate
) -> list[Example]:
    """The best, the median and the worst clip by SNR, coded again with the exported models.

    Args:
        scores: rows of data/evaluation/MODEL.csv by model, with numbers.
        points: model of each operating point to hear.
        ranked_by: the operating point whose SNR ranks the clips.
        settings: what `shaped` points were made with.
    """
    rows = [row for row in scores[points[ranked_by]] if row["point"] == ranked_by and math.isfinite(row["snr"])]
    if not rows:
        return []
    rows.sort(key=lambda row: -row["snr"])
    ranks = {len(rows) // 2: "Median", len(rows) - 1: "Worst", 0: "Best"}  # of one or two clips only the later names
    shards, coder = Shards(files.SHARDS / "test"), codec.load(files.EXPORT)
    number = {clip["clip"]: place for place, clip in enumerate(shards.clips)}
    return [
        Example(
            rank,
            row["clip"],
            row["speaker"],
            row["seconds"],
            _versions(coder, shards.clip(number[row["clip"]]), row["clip"], scores, points, settings),
        )
        for rank, row in ((ranks[place], rows[place]) for place in sorted(ranks))
    ]


def _versions(coder, audio: np.ndarray, clip: str, scores: dict, points: dict[str, str], settings: Evaluate):
    loudest = np.abs(_spectrum(audio)).max() or 1.0
    versions = [Version("Original", {}, _sound(audio), _picture(audio, loudest))]
    for point, model in points.items():
        output = coder.decode(coder.encode(audio, **request(point, settings)))
        measured = next(row for row in scores[model] if row["clip"] == clip and row["point"] == point)
        versions.append(Version(title(point), measured, _sound(output), _picture(output, loudest)))
        if measured["kbps"] >= OPUS_KBPS[0]:
            opus, measured = _opus(audio, measured["kbps"])
            versions.append(Version("Opus", measured, _sound(opus), _picture(opus, loudest)))
    return versions


def request(point: str, settings: Evaluate) -> dict[str, float]:
    """What `Codec.encode` was asked for at an operating point of `evaluate`."""
    kind, value = point.rsplit("_", 1)
    if kind == "codebooks":
        return {"tokens": int(value)}
    return {"snr": float(value)} if kind == "snr" else {"kbps": float(value), "perception": settings.perception}


def title(point: str) -> str:
    kind, value = point.rsplit("_", 1)
    words = {
        "codebooks": f"Tokens, {value} codebook{'s' if value != '1' else ''}",
        "shared": f"Tokens, codebooks shared out, {value} kbit/s",
        "snr": f"Waveform, {value} dB",
        "shaped": f"Waveform with perception, {value} kbit/s",
    }
    return words.get(kind, point)


def _opus(audio: np.ndarray, kbps: float) -> tuple[np.ndarray, dict[str, float]]:
    """Opus at the lowest of its rates that spends at least as much on this clip as we did."""
    least, most = OPUS_KBPS
    for asked in range(min(max(least, int(kbps)), most), most + 1):  # it spends less than it is asked to
        coded = peers.code("opus", audio, asked)
        spent = coded.payload_bytes * 8 * SAMPLE_RATE / len(audio) / 1000
        if spent >= kbps:
            break
    return coded.audio, {"kbps": spent, **measure(audio, coded.audio)}


def _sound(audio: np.ndarray) -> str:
    file = io.BytesIO()
    soundfile.write(file, np.clip(audio, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return _data_uri("audio/flac", file.getvalue())


def _spectrum(audio: np.ndarray) -> np.ndarray:
    return stft(audio, nperseg=WINDOW, noverlap=WINDOW - HOP, padded=True)[2]


def _picture(audio: np.ndarray, loudest: float) -> str:
    """The spectrogram in dB below `loudest`, low frequencies at the bottom."""
    level = 20 * np.log10(np.maximum(np.abs(_spectrum(audio)) / loudest, 1e-9))
    shade = np.clip(1 + level[::-1] / RANGE_DB, 0, 1)
    stops = np.linspace(0, 1, len(MAGMA))
    pixels = np.stack([np.interp(shade, stops, channel) for channel in zip(*MAGMA, strict=True)], axis=-1)
    image = Image.fromarray(pixels.astype(np.uint8))
    file = io.BytesIO()
    image.resize((image.width, HEIGHT), Image.Resampling.BOX).save(file, "WEBP", quality=70, method=4)
    return _data_uri("image/webp", file.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"

"""Clips to listen to: some of the test split, as every codec returns them, with their spectrograms."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import soundfile
from PIL import Image
from scipy.signal import stft

from pipeline import peers
from pipeline.common import files
from pipeline.common.shards import Shards
from telucodec.audio.metrics import SAMPLE_RATE, measure
from telucodec.codec import Codec, load
from telucodec.operating_point import OperatingPoint

WINDOW, HOP = 512, 160  # samples of a spectrogram frame, and between two frames: 10 ms
RANGE_DB = 75  # from the loudest level to black
HEIGHT = 160  # pixels
MAGMA = ((0, 0, 4), (59, 15, 112), (140, 41, 129), (222, 73, 104), (254, 159, 109), (252, 253, 191))
OPUS_KBPS = 6, 64  # range of rates that are tried

Scores = Mapping[str, Sequence[dict[str, Any]]]  # rows of data/evaluation/MODEL.csv by model, with numbers as numbers


class Version(NamedTuple):
    name: str
    measures: dict[str, float]  # kbps, snr, stoi, and pesq_wb but for tokens; empty for the original
    audio: str  # data URI, FLAC
    picture: str  # data URI, spectrogram from 0 to 8 kHz


class Example(NamedTuple):
    rank: str
    clip: str
    speaker: str
    seconds: float
    versions: list[Version]


def examples(scores: Scores, points: Sequence[OperatingPoint], ranked_by: OperatingPoint) -> list[Example]:
    """The best, the median and the worst clip by SNR, coded again with the exported models.

    Args:
        points: what to listen to.
        ranked_by: the operating point whose SNR ranks the clips.
    """
    rows = [row for row in scores[ranked_by.model] if row["point"] == ranked_by.name and math.isfinite(row["snr"])]
    if not rows:
        return []
    rows.sort(key=lambda row: -row["snr"])
    ranks = {len(rows) // 2: "Median", len(rows) - 1: "Worst", 0: "Best"}  # one or two clips have only the later names
    shards, codec = Shards(files.SHARDS / "test"), load(files.EXPORT)
    number = {clip["clip"]: place for place, clip in enumerate(shards.clips)}
    return [
        Example(
            ranks[place],
            row["clip"],
            row["speaker"],
            row["seconds"],
            _versions(codec, shards.clip(number[row["clip"]]), row["clip"], scores, points),
        )
        for place, row in ((place, rows[place]) for place in sorted(ranks))
    ]


def _versions(
    codec: Codec, audio: np.ndarray, clip: str, scores: Scores, points: Sequence[OperatingPoint]
) -> list[Version]:
    loudest = np.abs(_spectrum(audio)).max() or 1.0
    versions = [Version("Original", {}, _sound(audio), _picture(audio, loudest))]
    for point in points:
        rows = [row for row in scores[point.model] if row["clip"] == clip and row["point"] == point.name]
        if not rows or not math.isfinite(rows[0]["kbps"]):
            continue  # `evaluate` could not code this clip at this point
        measures = rows[0]
        output = codec.decode(codec.encode(audio, **point.arguments))
        versions.append(Version(title(point), measures, _sound(output), _picture(output, loudest)))
        if measures["kbps"] >= OPUS_KBPS[0]:
            opus, measures = _opus(audio, measures["kbps"])
            versions.append(Version("Opus", measures, _sound(opus), _picture(opus, loudest)))
    return versions


def title(point: OperatingPoint) -> str:
    return point.label[0].upper() + point.label[1:]


def _opus(audio: np.ndarray, kbps: float) -> tuple[np.ndarray, dict[str, float]]:
    """Opus at the lowest of its rates that spends at least as much on this clip as ours."""
    lowest, highest = OPUS_KBPS
    start = min(max(lowest, int(kbps)), highest)
    coded = peers.code("opus", audio, start)
    for asked in range(start + 1, highest + 1):  # Opus spends less than it is asked to
        if peers.kbps(coded) >= kbps:
            break
        coded = peers.code("opus", audio, asked)
    return coded.audio, {"kbps": peers.kbps(coded), **measure(audio, coded.audio)}


def _sound(audio: np.ndarray) -> str:
    file = io.BytesIO()
    soundfile.write(file, np.clip(audio, -1, 1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return _data_uri("audio/flac", file.getvalue())


def _spectrum(audio: np.ndarray) -> np.ndarray:
    return stft(audio, nperseg=WINDOW, noverlap=WINDOW - HOP, padded=True)[2]


def _picture(audio: np.ndarray, loudest: float) -> str:
    """The spectrogram in dB below `loudest`, with low frequencies at the bottom."""
    level = 20 * np.log10(np.maximum(np.abs(_spectrum(audio)) / loudest, 1e-9))
    shade = np.clip(1 + level[::-1] / RANGE_DB, 0, 1)
    stops = np.linspace(0, 1, len(MAGMA))
    pixels = np.stack([np.interp(shade, stops, channel) for channel in zip(*MAGMA, strict=True)], axis=-1)
    image = Image.fromarray(pixels.astype(np.uint8))
    file = io.BytesIO()
    image.resize((image.width, HEIGHT), Image.Resampling.BOX).save(file, "WEBP", quality=70, method=4)
    return _data_uri("image/webp", file.getvalue())


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"

"""Measures a codec on a clip as `evaluate` measures ours."""

import numpy as np

from pipeline import judges, peers
from telucodec.audio.metrics import measure


def score(name: str, audio: np.ndarray, kbps: float, judge_names: list[str]) -> dict[str, float]:
    """`kbps` as spent, every measure of telucodec.audio.metrics, and what judges say about a clip coded by `peers.code`."""
    coded = peers.code(name, audio, kbps)
    return {"kbps": peers.kbps(coded), **measured(audio, coded.audio, judge_names)}


def measured(audio: np.ndarray, decoded: np.ndarray, judge_names: list[str]) -> dict[str, float]:
    """Every measure of telucodec.audio.metrics, and what judges say, about decoded audio [samples]."""
    return {**measure(audio, decoded), **judges.judge(judge_names, audio, decoded)}

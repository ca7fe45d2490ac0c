"""Stage `bound`: the rate that the test speech needs for a given SNR with any codec: `python -m pipeline.bound`.

The model of speech is Gaussian, with a variance that is constant over small tiles of the time-frequency plane. Its
rate-distortion function is known: reverse water-filling (Cover and Thomas, Elements of Information Theory, 10.3; for spectra
Kolmogorov 1956). This is an estimate, not a theorem: of all sources with these variances a Gaussian needs the most bits, and a
finer model of the variances needs fewer. docs/bound.md discusses the result.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from pipeline.common import files, stage
from pipeline.common.sections import Params
from pipeline.common.shards import Shards
from telucodec.networks.mdct import MDCT

HOP = 240  # samples of a frame of the transform
TILES = (1, 4), (2, 4), (2, 8), (4, 8), (4, 16), (8, 16)  # frames x coefficients
FIXED_TILE = 1, 8
SNRS = np.arange(0.0, 47.5, 2.5)  # dB
KBPS = 2.0 ** np.arange(-1, 5.5, 0.5)
BISECTIONS = 50


class Source(NamedTuple):
    """Independent Gaussian coefficients: `size` of each of `variances` [...]."""

    variances: np.ndarray
    size: int

    def at(self, level: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Bits and squared error of every tile at a water level."""
        with np.errstate(divide="ignore"):
            bits = self.size / 2 * np.log2(np.maximum(self.variances / level, 1))
        return bits, self.size * np.minimum(self.variances, level)


def level_for(source: Source, snr: float) -> float:
    """The water level at which the SNR of the whole source is `snr` dB."""
    allowed = source.size * source.variances.sum() * 10 ** (-snr / 10)
    low, high = 0.0, float(source.variances.max())
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if source.at(middle)[1].sum() < allowed else (low, middle)
    return high


def side_information(source: Source, level: float) -> float:
    """Bits that describe the variances of the tiles above a water level, and which tiles those are.

    Each variance costs half the logarithm of the number of its values (Rissanen 1978), the selection costs its entropy.
    """
    share = float((source.variances > level).mean())
    choice = sum(-part * math.log2(part) for part in (share, 1 - share) if part > 0)
    return source.variances.size * (share * 0.5 * math.log2(source.size) + choice)


def equal_rate_error(source: Source, bits: float) -> float:
    """The least squared error when every row of tiles gets the same number of bits."""
    low = np.zeros(len(source.variances))
    high = source.variances.max(axis=1)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        with np.errstate(invalid="ignore"):
            spent = np.nan_to_num(source.at(np.maximum(middle, 1e-300)[:, None])[0].sum(axis=1))
        low, high = np.where(spent > bits, middle, low), np.where(spent > bits, high, middle)
    return float(source.at(np.maximum(high, 1e-300)[:, None])[1].sum())


def tiled(power: np.ndarray, tile: tuple[int, int]) -> Source:
    """Mean power [frames, coefficients] over tiles of `tile` frames and coefficients; incomplete tiles are dropped."""
    frames, bins = (size // step * step for size, step in zip(power.shape, tile, strict=True))
    blocks = power[:frames, :bins].reshape(frames // tile[0], tile[0], bins // tile[1], tile[1])
    return Source(blocks.mean(axis=(1, 3)), tile[0] * tile[1])


def curves(clips: Iterable[np.ndarray], sample_rate: int) -> dict[str, list[dict[str, float]]]:
    """Points of kbit/s and SNR in dB, means over clips [samples].

    Returns:
        `charged`: at each SNR the fewest bits over all shapes of tiles, including those that describe the variances.
        `variable_rate`: the same tiles, with variances that the decoder knows for free. `fixed_rate`: the same, with equally
        many bits for every frame.
    """
    transform = MDCT(HOP)
    charged, free, fixed = [], [], []
    for clip in clips:
        power = transform(torch.from_numpy(clip)[None].float())[0].double().square().numpy()
        if not power.any():
            continue
        to_kbps = sample_rate / len(clip) / 1000
        rows = [_rates(power, snr) for snr in SNRS]
        charged.append([row[0] * to_kbps for row in rows])
        free.append([row[1] * to_kbps for row in rows])
        source = tiled(power, FIXED_TILE)
        total = source.size * source.variances.sum()
        frame_rate = sample_rate / HOP
        errors = [equal_rate_error(source, kbps * 1000 / frame_rate) for kbps in KBPS]
        fixed.append([10 * math.log10(total / error) for error in errors])
    return {
        "variable_rate": _points(np.mean(free, axis=0), SNRS),
        "charged": _points(np.mean(charged, axis=0), SNRS),
        "fixed_rate": _points(KBPS, np.mean(fixed, axis=0)),
    }


def _rates(power: np.ndarray, snr: float) -> tuple[float, float]:
    """Bits of a clip at an SNR, with and without those for the variances, for the tiles that need the fewest with them."""
    candidates = []
    for tile in TILES:
        source = tiled(power, tile)
        level = level_for(source, snr)
        bits = float(source.at(level)[0].sum())
        candidates.append((bits + side_information(source, level), bits))
    return min(candidates)


def _points(kbps: np.ndarray, snr: np.ndarray) -> list[dict[str, float]]:
    return [{"kbps": float(rate), "snr": float(decibels)} for rate, decibels in zip(kbps, snr, strict=True)]


def main(params: Params) -> None:
    shards = Shards(files.SHARDS / "test")
    bounds = curves((shards.clip(clip) for clip in range(len(shards))), params.preprocess.sample_rate)
    files.write_json(files.METRICS / "bound.json", bounds)
    pairs = zip(bounds["charged"], bounds["variable_rate"], strict=True)
    rows = [{"snr": paid["snr"], "charged_kbps": paid["kbps"], "free_kbps": free["kbps"]} for paid, free in pairs]
    files.write_csv(files.PLOTS / "bound.csv", rows, list(rows[0]))
    for wanted in (10, 20, 30):
        paid, free = (
            next(point["kbps"] for point in bounds[name] if point["snr"] >= wanted)
            for name in ("charged", "variable_rate")
        )
        print(f"{wanted} dB: about {paid:.1f} kbit/s, {free:.1f} if the decoder knew the envelope")


if __name__ == "__main__":
    stage.run(main)

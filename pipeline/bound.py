"""Stage `bound`: what rate the test speech asks for at a given SNR, whatever the codec: `python -m pipeline.bound`.

Speech is taken as Gaussian with a variance that is constant over small tiles of the time-frequency plane, whose rate-distortion
function is known: reverse water-filling (Cover and Thomas, Elements of Information Theory, 10.3; for spectra Kolmogorov 1956). An
estimate, not a theorem: a Gaussian needs the most bits of all sources of its variances, and a finer model of the variances needs
fewer. docs/bound.md says what follows.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch

from codec.mdct import MDCT
from pipeline import files, stage
from pipeline.sections import Params
from pipeline.shards import Shards

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
        """Bits and squared error of every tile when the water stands at `level`."""
        with np.errstate(divide="ignore"):
            bits = self.size / 2 * np.log2(np.maximum(self.variances / level, 1))
        return bits, self.size * np.minimum(self.variances, level)


def level_for(source: Source, snr: float) -> float:
    """The water level at which the whole source has an SNR of `snr` dB."""
    allowed = source.size * source.variances.sum() * 10 ** (-snr / 10)
    low, high = 0.0, float(source.variances.max())
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if source.at(middle)[1].sum() < allowed else (low, middle)
    return high


def side_information(source: Source, level: float) -> float:
    """Bits that tell the variances of tiles above the level, and which tiles those are.

    Half the logarithm of the number of values for each variance (Rissanen 1978), and the entropy of the choice.
    """
    share = float((source.variances > level).mean())
    choice = sum(-part * math.log2(part) for part in (share, 1 - share) if part > 0)
    return source.variances.size * (share * 0.5 * math.log2(source.size) + choice)


def equal_rate_error(source: Source, bits: float) -> float:
    """Squared error when every row of tiles gets the same number of bits, at best."""
    low = np.zeros(len(source.variances))
    high = source.variances.max(axis=1)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        with np.errstate(invalid="ignore"):
            spent = np.nan_to_num(source.at(np.maximum(middle, 1e-300)[:, None])[0].sum(axis=1))
        low, high = np.where(spent > bits, middle, low), np.where(spent > bits, high, middle)
    return float(source.at(np.maximum(high, 1e-300)[:, None])[1].sum())


def tiled(power: np.ndarray, tile: tuple[int, int]) -> Source:
    """Mean power of tiles of `tile` frames and coefficients of power [frames, coefficients]; what is left over is cut."""
    frames, bins = (size // step * step for size, step in zip(power.shape, tile, strict=True))
    blocks = power[:frames, :bins].reshape(frames // tile[0], tile[0], bins // tile[1], tile[1])
    return Source(blocks.mean(axis=(1, 3)), tile[0] * tile[1])


def curves(clips: Iterable[np.ndarray], sample_rate: int) -> dict[str, list[dict[str, float]]]:
    """Points of kbit/s and SNR in dB, means over clips [samples].

    Returns:
        `charged`: at each SNR the fewest bits over all shapes of tiles, variances told; `variable_rate`: the same tiles, with
        their variances known to the decoder for nothing; `fixed_rate`: the same, every frame having equally many bits.
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
        frames_a_second = sample_rate / HOP
        errors = [equal_rate_error(source, kbps * 1000 / frames_a_second) for kbps in KBPS]
        fixed.append([10 * math.log10(total / error) for error in errors])
    return {
        "variable_rate": _points(np.mean(free, axis=0), SNRS),
        "charged": _points(np.mean(charged, axis=0), SNRS),
        "fixed_rate": _points(KBPS, np.mean(fixed, axis=0)),
    }


def _rates(power: np.ndarray, snr: float) -> tuple[float, float]:
    """Bits of a clip at an SNR, with and without what tells the variances, for the shape of tiles that needs fewest with."""
    found = []
    for tile in TILES:
        source = tiled(power, tile)
        level = level_for(source, snr)
        bits = float(source.at(level)[0].sum())
        found.append((bits + side_information(source, level), bits))
    return min(found)


def _points(kbps: np.ndarray, snr: np.ndarray) -> list[dict[str, float]]:
    return [{"kbps": float(rate), "snr": float(decibels)} for rate, decibels in zip(kbps, snr, strict=True)]


def main(params: Params) -> None:
    shards = Shards(files.SHARDS / "test")
    found = curves((shards.clip(clip) for clip in range(len(shards))), params.preprocess.sample_rate)
    files.write_json(files.METRICS / "bound.json", found)
    pairs = zip(found["charged"], found["variable_rate"], strict=True)
    rows = [{"snr": told["snr"], "charged_kbps": told["kbps"], "free_kbps": free["kbps"]} for told, free in pairs]
    files.write_csv(files.PLOTS / "bound.csv", rows, list(rows[0]))
    for wanted in (10, 20, 30):
        rates = {
            name: next(p["kbps"] for p in found[name] if p["snr"] >= wanted) for name in ("charged", "variable_rate")
        }
        print(
            f"{wanted} dB: about {rates['charged']:.1f} kbit/s, {rates['variable_rate']:.1f} if the envelope were known"
        )


if __name__ == "__main__":
    stage.run(main)

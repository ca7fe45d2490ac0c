"""Levels of bands to range-coded symbols and back, with the likelihoods of `telucodec.networks.waveform.levels`."""

from collections.abc import Callable

import numpy as np

from telucodec.exact import ACTIVATION_BITS, ACTIVATION_LIMIT, straightened_powers
from telucodec.waveform.entropy import Decoder
from telucodec.waveform.grids import BANDS, LEVEL_HISTORY, LEVEL_PASSES, LEVELS, PIVOT, UNKNOWN

LEVEL_ACTIVATION = 2.0 ** (ACTIVATION_BITS - 2)  # a level is a quarter of a unit

# A pass and its context to logarithms [count, bands of the pass * LEVELS].
Network = Callable[[int, np.ndarray], np.ndarray]


def start(packets: int) -> np.ndarray:
    """The history of packets before their first group: [packets, LEVEL_HISTORY, BANDS], int64."""
    return np.full((packets, LEVEL_HISTORY, BANDS), UNKNOWN, np.int64)


def activations(levels: np.ndarray) -> np.ndarray:
    """Levels [...] as the network sees them: integers in float32; an unknown level is 0."""
    return np.where(levels == UNKNOWN, 0, (levels - PIVOT) * LEVEL_ACTIVATION).astype(np.float32)


class LevelCoder:
    """Says how likely each level is, from the groups before and from every other band of its own group."""

    def __init__(self, network: Network, bits: int):
        """`bits`: the logarithms of the network are in units of 2^-bits."""
        self._network, self._bits = network, bits

    def encode(self, history: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Levels [groups, BANDS] of one packet, which go on from `history` [LEVEL_HISTORY, BANDS], in the order of coding.

        Returns the symbols [groups * BANDS], int32, and their frequencies [groups * BANDS, LEVELS], float32.
        """
        line = np.concatenate([history, levels])
        before = np.stack([line[lag : lag + len(levels)] for lag in range(LEVEL_HISTORY)], axis=1)
        first, second = (self._frequencies(number, before, levels) for number in range(len(LEVEL_PASSES)))
        symbols = np.concatenate([levels[:, bands] for bands in LEVEL_PASSES], axis=1)
        return symbols.reshape(-1).astype(np.int32), np.concatenate([first, second], axis=1).reshape(-1, LEVELS)

    def decode(self, decoder: Decoder, history: np.ndarray, counts: list[int]) -> np.ndarray:
        """The levels [packets, groups, BANDS] of packets with so many groups, the longest first.

        Raises:
            DamagedPacketError: no encoder writes these bytes.
        """
        levels = np.zeros((len(counts), max(counts), BANDS), np.int64)
        line = np.concatenate([history, levels], axis=1)
        for group in range(max(counts)):
            going = sum(count > group for count in counts)
            before, now = line[:going, group : group + LEVEL_HISTORY], line[:going, group + LEVEL_HISTORY]
            for number, bands in enumerate(LEVEL_PASSES):
                now[:, bands] = decoder.read_symbols(self._frequencies(number, before, now))
        return line[:, LEVEL_HISTORY:]

    def _frequencies(self, number: int, before: np.ndarray, now: np.ndarray) -> np.ndarray:
        """Frequencies [count, bands of the pass, LEVELS] in groups after `before` [count, LEVEL_HISTORY, BANDS].

        Of `now` [count, BANDS] the levels of earlier passes are read.
        """
        age = (before[:, :, 0] != UNKNOWN) * np.float32(ACTIVATION_LIMIT)
        parts = [activations(before).reshape(len(before), -1), age]
        if number:
            parts.append(activations(now[:, LEVEL_PASSES[0]]))
        logarithms = self._network(number, np.concatenate(parts, axis=1))
        return straightened_powers(logarithms.reshape(len(before), -1, LEVELS), self._bits)

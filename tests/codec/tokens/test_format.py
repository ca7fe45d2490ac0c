"""A decoder of token payloads written from docs/format.md, in plain Python and NumPy, against what the software writes."""

import itertools

import numpy as np
import pytest

from tests.codec.tokens.conftest import LEVELS, SIZE

WORD, TOTAL = 2**32, 2**24


class RangeDecoder:
    def __init__(self, payload):
        padded = payload + bytes(-len(payload) % 4)
        words = (int.from_bytes(padded[start : start + 4], "big") for start in range(0, len(padded), 4))
        self.words = itertools.chain(words, itertools.repeat(0))
        self.low, self.range = 0, WORD**2 - 1
        self.point = next(self.words) * WORD + next(self.words)

    def symbol(self, frequencies):
        total = np.float32(0)
        sums = [total := total + np.float32(frequency) for frequency in frequencies]
        scale = np.float32(TOTAL - len(frequencies)) / sums[-1]
        edges = [0, *(int(total * scale) + number for number, total in enumerate(sums[:-1], 1)), TOTAL]
        unit = self.range // TOTAL
        place = (self.point - self.low) % WORD**2 // unit
        found = max(number for number, edge in enumerate(edges[:-1]) if edge <= place)
        self.low = (self.low + unit * edges[found]) % WORD**2
        self.range = unit * (edges[found + 1] - edges[found])
        if self.range < WORD:
            self.low, self.range = self.low * WORD % WORD**2, self.range * WORD
            self.point = (self.point * WORD + next(self.words)) % WORD**2
        return found


def powers(logarithms):
    exponents = np.maximum(logarithms - np.floor(logarithms.max()) + 16, 0)
    whole = np.floor(exponents)
    return np.rint(2.0**whole * (1 + exponents - whole))


def layer(tensors, name, inputs):
    """What a layer makes of integers in units of 2^-5, in units of 1."""
    weight, bias = tensors[f"{name}.weight"].astype(float), tensors[f"{name}.bias"].astype(float)
    unit = 2.0 ** -(round(np.log2(weight.shape[1]) / 2) + 5)
    return inputs @ weight.T * unit * 2.0**-5 + bias * unit * 2.0**-5


def decode(tensors, payload, frames, mean):
    coder, counts, before = RangeDecoder(payload), {False: [64, 1], True: [1, 1]}, False
    again = [False]
    for _ in range(frames - 1):
        now = bool(coder.symbol(counts[before]))
        counts[before][now] += 1
        again.append(before := now)
    numbers, earlier = [], LEVELS + 1
    for repeats in again:
        if repeats:
            numbers.append(numbers[-1])
        elif mean:
            numbers.append(earlier := coder.symbol(powers(-tensors["prior.depths"][mean, earlier].astype(float) / 8)))
        else:
            numbers.append(LEVELS)
    scales = 2.0 ** (5 + tensors["prior.exponents"].astype(float))
    words = np.rint(codewords(tensors) * scales.astype(np.float32)).astype(float)
    codes = np.full((LEVELS, frames), -1)
    # Of the first 0, 1, ... codebooks; ahead of the first frame two of nothing.
    sums = np.zeros((LEVELS + 1, frames + 2, words.shape[2]))
    for level, frame in itertools.product(range(LEVELS), range(frames)):
        place, below = frame + 2, max(level, 1)
        given = [sums[1, place - 1], sums[1, place - 2]] if level == 0 else [sums[below, place], sums[below, place - 1]]
        if again[frame]:
            codes[level, frame] = codes[level, frame - 1]
        elif level < numbers[frame]:
            seen = np.concatenate(given).clip(-127, 127)
            hidden = (np.rint(layer(tensors, f"prior.describe.{level}", seen) * 2**5)).clip(0, 127)
            codes[level, frame] = coder.symbol(powers(layer(tensors, f"prior.tell.{level}", hidden)))
        code = codes[level, frame]
        sums[level + 1, place] = sums[level, place] + (words[level, code] if code >= 0 else 0)
    return codes


def codewords(tensors):
    """Of all codebooks: each describes its own part, with zeros in the place of the others."""
    learned, shapes = tensors["quantizer.codebooks"], len(tensors["coding.shapes"])
    described = 16 + 4 + shapes
    words = np.zeros((LEVELS, SIZE, described + learned.shape[2]), np.float32)
    for code in range(SIZE):
        place = code // 4 / (SIZE // 4 - 1) * 15
        for number in range(16):
            words[0, code, number] = max(1 - abs(place - number), 0)
        words[0, code, 16 + code % 4] = 1
        words[4, code, 20 + code % shapes] = 1
    for number, codebook in zip((1, 2, 3, 5), learned, strict=True):
        words[number, :, described:] = codebook
    return words


@pytest.mark.parametrize("mean", [0, 2])
def test_the_documented_decoder_reads_what_the_software_writes(speech, mean):
    codes = speech.codes[:, :100].copy()
    codes[:, 40:44] = codes[:, 39:40]
    if mean:
        depth = np.random.default_rng(0).integers(0, LEVELS + 1, codes.shape[1])
        codes[np.arange(LEVELS)[:, None] >= depth] = -1
    payload = speech.coder.encode(codes, mean)
    tensors = speech.folder.weights
    assert tensors["quantizer.codebooks"].shape[:2] == (LEVELS - 2, SIZE)
    assert np.array_equal(decode(tensors, payload, codes.shape[1], mean), codes)

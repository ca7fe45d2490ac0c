"""The exact transform against the network's."""

import numpy as np
import torch

from telucodec.mdct import ExactMDCT
from telucodec.networks.mdct import MDCT


def test_frames_are_those_of_the_network(spoken):
    audio, exact = spoken(0.5), ExactMDCT(240)
    padded = np.pad(audio, (0, -len(audio) % 240 + 240))
    frames, _ = exact.analyse(exact.silence(), padded)
    assert np.abs(frames - MDCT(240)(torch.from_numpy(audio)[None])[0].numpy()).max() < 1e-4


def test_hop_by_hop_gives_the_numbers_of_the_whole_to_the_bit(spoken):
    audio, exact = spoken(0.5)[: 30 * 240], ExactMDCT(240)
    whole, _ = exact.analyse(exact.silence(), audio)
    before, pieces = exact.silence(), []
    for hop in audio.reshape(-1, 240):
        frames, before = exact.analyse(before, hop)
        pieces.append(frames)
    assert np.array_equal(np.concatenate(pieces), whole)
    output, _ = exact.synthesise(exact.silence(), whole)
    overlap, parts = exact.silence(), []
    for frame in whole:
        samples, overlap = exact.synthesise(overlap, frame[None])
        parts.append(samples)
    assert np.array_equal(np.concatenate(parts), output)
    assert np.abs(output[240:] - audio[:-240]).max() < 1e-4

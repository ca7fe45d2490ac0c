"""The two codebooks that are not learned by gradients: those of pitch and phase."""

import numpy as np

from telucodec.vocoder.phase import PhaseCodes
from telucodec.vocoder.pitch import DESCRIPTION, PitchCodes

PHASE_PLACE = 4  # number of the phase codebook: with up to four codebooks, all bits but the pitch go to the spectrum


class VocoderCodes:
    """What their codes stand for.

    Args:
        shapes: [shapes, KNOTS], of phases, in radians.
        num_codebooks: of the whole codec.
        codebook_size: of each of them.
    """

    def __init__(self, shapes: np.ndarray, num_codebooks: int, codebook_size: int):
        self.pitch, self.phase = PitchCodes(codebook_size), PhaseCodes(shapes, codebook_size)
        self.places = (0, PHASE_PLACE) if num_codebooks > PHASE_PLACE else (0,)
        self.described = DESCRIPTION + len(shapes)
        # [places, codebook_size, described]: for networks, each codebook describes its own part and leaves the rest zero.
        self.descriptions = np.zeros((len(self.places), codebook_size, self.described), np.float32)
        self.descriptions[0, :, :DESCRIPTION] = self.pitch.descriptions
        self.descriptions[1:, :, DESCRIPTION:] = np.eye(len(shapes))[np.arange(codebook_size) % len(shapes)]

    def own(self, codes: np.ndarray) -> np.ndarray:
        """Of codes [num_codebooks, frames] those of pitch and phase [2, frames]; -1 where there is none."""
        own = np.full((2, codes.shape[1]), -1, np.int64)
        places = [place for place in self.places if place < len(codes)]
        own[: len(places)] = codes[places]
        return own

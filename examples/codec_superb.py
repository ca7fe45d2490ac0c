"""TeluCodec's tokens in the form of Codec-SUPERB's codecs: copy this file to SoundCodec/codec/telucodec_8.py there.

`SoundCodec.codec.load_codec("telucodec_8")` then loads it.
"""

from typing import Any

import numpy as np
import soxr
import torch
from SoundCodec.base_codec.general import BaseCodec, ExtractedUnit

import telucodec

NUM_CODEBOOKS = 8


class Codec(BaseCodec):
    """Speech at any rate to units [codebooks, frames] and back to speech at `sampling_rate`, as long as what came in."""

    def config(self) -> None:
        self.telu = telucodec.load(kinds=["tokens"])
        self.setting = f"telucodec_{NUM_CODEBOOKS}"
        self.sampling_rate = self.telu.sample_rate

    def extract_unit(self, data: dict[str, Any]) -> ExtractedUnit:
        audio = np.asarray(data["audio"]["array"], np.float32)
        audio = soxr.resample(audio, data["audio"]["sampling_rate"], self.sampling_rate)
        tokens = self.telu.tokenize(audio, NUM_CODEBOOKS)
        return ExtractedUnit(unit=torch.from_numpy(tokens), stuff_for_synth=(tokens, len(audio)))

    def decode_unit(self, stuff_for_synth: tuple[np.ndarray, int]) -> np.ndarray:
        return self.telu.detokenize(*stuff_for_synth)

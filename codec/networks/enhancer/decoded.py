"""What a decoder reads from files of the waveform codec, on batches, to train an enhancer on."""

import torch
from torch import Tensor

from telucodec.networks.enhancer.model import Frames
from telucodec.networks.waveform import entropy
from telucodec.networks.waveform.model import Grid, Settings, WaveformCodec
from telucodec.waveform.filling import AUDIBLE, LARGEST
from telucodec.waveform.grids import CENTROID_BITS, GROUP, LEVEL_RMS, WIDES


@torch.no_grad()
def decoded(codec: WaveformCodec, coefficients: Tensor, settings: Settings, signs: Tensor) -> Frames:
    """Coefficients [batch, frames, hop] as they come back from packets of these settings.

    All frames are quantised at once. `signs` [batch, frames, hop] are those of the noise.
    """
    with torch.autocast(coefficients.device.type, enabled=False):
        grid = codec.grid(coefficients, settings)
        integers, parameters = codec.choose(coefficients, grid)
        kinds = entropy.kinds(parameters)
        read = (codec.reconstruct(integers, kinds) * grid.steps).float()
        return Frames(read, amplitudes(codec, read, kinds, grid) * signs, grid.steps.float())


def amplitudes(codec: WaveformCodec, read: Tensor, kinds: Tensor, grid: Grid) -> Tensor:
    """The amplitude [batch, frames, hop] of noise, as `telucodec.waveform.filling` has it, in float32."""
    likely = codec.centroids[:, 0][kinds // WIDES] * 2.0**-CENTROID_BITS * grid.steps.float() * (read == 0)
    levels = torch.from_numpy((LEVEL_RMS * AUDIBLE) ** 2).float().to(read.device)[grid.levels.long()]
    wanted = levels.repeat_interleave(GROUP, dim=1)[:, : read.shape[1]] * codec.band_members.sum(0)
    missing = (wanted - read.square() @ codec.band_members).clamp(min=0)
    there = likely.square() @ codec.band_members
    gain = torch.where(there > 0, missing / there.clamp(min=1e-30), 0.0).sqrt()
    return torch.minimum(gain @ codec.band_members.T * likely, LARGEST * grid.steps.float())

"""Error of the level in octave bands, over whole items."""

import torch
from torch import Tensor, nn

from telucodec.networks.precision import full_float32
from telucodec.networks.tokens.stft import stft

SAMPLE_RATE = 16000  # Hz
WINDOW = 512  # samples; hops are half of that
EDGES = 125, 250, 500, 1000, 2000, 4000, 8000  # Hz
ACTIVE = 1e-3  # of the energy of the loudest frame: quieter frames do not count
FLOOR = 1e-8  # of the same, added to each band


class LevelBias(nn.Module):
    """How much too loud or too soft each octave is on average, in nepers.

    An absolute distance for each moment, as `MelDistance`, is least at a median, and forgives a band that is a little too soft
    most of the time. This one is least when the mean is right.
    """

    def __init__(self) -> None:
        super().__init__()
        frequencies = torch.arange(WINDOW // 2 + 1) * SAMPLE_RATE / WINDOW
        edges = torch.tensor(EDGES)
        bands = (frequencies[:, None] >= edges[:-1]) & (frequencies[:, None] < edges[1:])
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("bands", bands.float(), persistent=False)

    def forward(self, audio: Tensor, output: Tensor) -> Tensor:
        """The mean over octaves and items of |mean level of output - that of audio|, [batch, samples] each (scalar)."""
        with full_float32(audio.device):
            clean, coded = (self._energies(signal) for signal in (audio, output))
            frames = clean.sum(2, keepdim=True)
            loudest = frames.amax(1, keepdim=True)
            floor = FLOOR * loudest + 1e-12
            active = (frames >= ACTIVE * loudest).float()
            errors = 0.5 * ((coded + floor) / (clean + floor)).log()
            return ((errors * active).sum(1) / active.sum(1)).abs().mean()

    def _energies(self, signal: Tensor) -> Tensor:
        """Energy of each octave [batch, frames, octaves]."""
        spectrum = stft(signal.float(), WINDOW, WINDOW // 2, self.get_buffer("window"))
        return spectrum.abs().square().transpose(1, 2) @ self.get_buffer("bands")

"""The short-time Fourier transform of the losses, with a gradient that is fast on a GPU."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional


def stft(
    audio: Tensor,
    size: int,
    hop: int,
    window: Tensor,
    center: bool = True,
    norm: Literal["backward", "ortho"] = "backward",
) -> Tensor:
    """Spectra [batch, size // 2 + 1, frames], complex, of audio [batch, samples].

    It computes what `torch.stft` with `pad_mode="constant"` computes, to the bit, and so is its gradient on a CPU. On a GPU the
    gradient of `torch.stft` sorts the samples of all frames when algorithms must be deterministic; that of `unfold` need not.

    Args:
        size: samples of a frame.
        window: [length], at most `size`; a shorter one lies in the middle of the frame.
        center: whether frame number `t` is centred on sample `t * hop`, with zeros before and after the audio.
        norm: as in `torch.fft.rfft`.
    """
    before = (size - len(window)) // 2
    window = functional.pad(window, (before, size - len(window) - before))
    if center:
        audio = functional.pad(audio, (size // 2, size // 2))
    return torch.fft.rfft(audio.unfold(1, size, hop) * window, norm=norm).transpose(1, 2)

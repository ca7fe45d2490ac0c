"""A discriminator of spectra, and its part in training: the optional second phase."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from telucodec.networks import distributed
from telucodec.networks.precision import full_float32
from telucodec.networks.tokens.stft import stft

FILE = "discriminator.safetensors"  # kept beside a model, for a later training that starts from it
WINDOWS = 256, 512, 1024  # samples; hops are half of that
CHANNELS = 32
# Of each layer: kernel and stride over frequency, dilation over time. The first one makes the others cheap.
LAYERS = (8, 4, 1), (5, 2, 1), (5, 2, 2), (3, 1, 4)
SLOPE = 0.2  # of the leaky ReLU
FLOOR = 1e-6  # added to the square of magnitudes before their logarithm is taken
RATE, BETAS = 1e-3, (0.5, 0.9)  # of AdamW
LARGEST_GRADIENT = 10.0  # norm
FEATURES_WEIGHT = 2.0  # of feature matching, against 1 for the verdict


class SpectrumDiscriminator(nn.Module):
    """Judges logarithmic magnitudes of spectra at one resolution, at every time and frequency separately.

    Source: the multi-scale STFT discriminator of EnCodec (Défossez et al., arXiv 2210.13438), but smaller, and without
    phases: from complex spectra one of this size learns next to nothing (docs/log.md).
    """

    shape: Tensor  # [window], the window function

    def __init__(self, window: int):
        super().__init__()
        self.window = window
        self.register_buffer("shape", torch.hann_window(window), persistent=False)
        layers = [
            nn.Conv2d(
                CHANNELS if number else 1, CHANNELS, (3, kernel), (1, stride), (dilation, kernel // 2), (dilation, 1)
            )
            for number, (kernel, stride, dilation) in enumerate(LAYERS)
        ]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, SLOPE)
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)
        verdict = nn.Conv2d(CHANNELS, 1, (3, 3), padding=(1, 1))
        nn.init.normal_(verdict.weight, std=1e-3)  # undecided at the start
        self.verdict = weight_norm(verdict)

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge audio [batch, samples].

        Returns:
            Verdicts [batch, 1, frames, places], high for speech, and the outputs of all layers but the last.
        """
        spectrum = stft(audio, self.window, self.window // 2, self.shape, norm="ortho")
        x = 0.5 * (spectrum.abs().square() + FLOOR).log().transpose(1, 2)[:, None]
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return self.verdict(x), features


class Judged(NamedTuple):
    """What the discriminators say of a batch, from one pass over speech and output (scalars)."""

    hinge: Tensor  # their own loss
    adversarial: Tensor  # the codec's, including feature matching


class Adversary:
    """The discriminators and their optimiser. They judge each batch before they learn from it."""

    def __init__(self, device: torch.device):
        self.discriminators = nn.ModuleList(SpectrumDiscriminator(window) for window in WINDOWS).to(device)
        fused = device.type == "cuda"
        self.optimizer = torch.optim.AdamW(self.discriminators.parameters(), RATE, BETAS, fused=fused)

    def judge(self, audio: Tensor, output: Tensor) -> Judged:
        """Compare the codec's output [batch, samples] with speech [batch, samples]."""
        hinge = adversarial = torch.zeros((), device=audio.device)
        with full_float32(audio.device):
            for discriminator in self.discriminators:
                speech, targets = discriminator(_normalize(audio, audio))
                coded, features = discriminator(_normalize(output, audio))
                hinge = hinge + functional.relu(1 - speech).mean() + functional.relu(1 + coded).mean()
                distances = [
                    functional.l1_loss(feature, target.detach()) / distributed.mean(target.detach().abs().mean())
                    for feature, target in zip(features, targets, strict=True)
                ]
                adversarial = adversarial - coded.mean() + FEATURES_WEIGHT * torch.stack(distances).mean()
        return Judged(hinge / len(WINDOWS), adversarial / len(WINDOWS))

    def learn(self, hinge: Tensor) -> None:
        """Take one step towards telling speech from the codec's output. No other use of what was judged can follow."""
        weights = list(self.discriminators.parameters())
        with full_float32(hinge.device):
            gradients = torch.autograd.grad(hinge, weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = distributed.mean(gradient)
        nn.utils.clip_grad_norm_(weights, LARGEST_GRADIENT)
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"discriminators": self.discriminators.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Load the output of `state`."""
        self.discriminators.load_state_dict(state["discriminators"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, folder: Path) -> None:
        """Write the weights of the discriminators into an existing folder, in half precision."""
        state = self.discriminators.state_dict()
        save_file({name: value.cpu().half().contiguous() for name, value in state.items()}, folder / FILE)

    def load(self, folder: Path) -> None:
        """Load what `save` wrote, if the folder has it.

        Raises:
            SafetensorError, RuntimeError: the file is damaged, or from discriminators of another shape.
        """
        if (folder / FILE).exists():
            self.discriminators.load_state_dict(load_file(folder / FILE))


def balance(other: Tensor, weight: float, output: Tensor) -> None:
    """Let the next backward pass through `output` carry the gradient of `other` on, too, at `weight` times the norm of its own.

    Neither the scale of a loss nor a winning discriminator can then drown what the codec is trained for. Source: the
    balancer of EnCodec (arXiv 2210.13438), for two losses and without memory.
    """
    (gradient,) = torch.autograd.grad(other, output, retain_graph=True)
    norm = distributed.mean(gradient.square().sum()).sqrt() + 1e-12

    def added(own: Tensor) -> Tensor:
        return own + weight * distributed.mean(own.square().sum()).sqrt() / norm * gradient

    output.register_hook(added)


def _normalize(signal: Tensor, audio: Tensor) -> Tensor:
    """The signal with the gain that brings the speech `audio` to RMS 1, so that quiet speech counts like any other."""
    level = audio.float().square().mean(1, keepdim=True).sqrt()
    return signal.float() / (level + 1e-3)

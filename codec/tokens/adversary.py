"""A discriminator of spectra, and how it takes part in training: the optional second phase."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from codec import distributed
from codec.precision import full_float32

WINDOWS = 256, 512, 1024  # samples; hops are a quarter
CHANNELS = 16
SLOPE = 0.2  # of the leaky ReLU
RATE, BETAS = 3e-4, (0.5, 0.9)
LARGEST_GRADIENT = 10.0
FEATURES_WEIGHT = 2.0  # of feature matching beside the verdict


class SpectrumDiscriminator(nn.Module):
    """Judges the complex spectra of one resolution, place by place.

    Source: the multi-scale STFT discriminator of EnCodec (Défossez et al., arXiv 2210.13438), smaller.
    """

    def __init__(self, window: int):
        super().__init__()
        self.window = window
        self.register_buffer("shape", torch.hann_window(window), persistent=False)
        sizes = [(2, (3, 9), (1, 1), 1), *((CHANNELS, (3, 9), (1, 2), dilation) for dilation in (1, 2, 4))]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, CHANNELS, kernel, stride, (dilation, kernel[1] // 2), (dilation, 1)))
            for inputs, kernel, stride, dilation in sizes
        )
        self.verdict = weight_norm(nn.Conv2d(CHANNELS, 1, (3, 3), padding=(1, 1)))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Audio [batch, samples] to verdicts [batch, 1, frames, places], high for speech, and what its layers see."""
        spectrum = torch.stft(
            audio,
            self.window,
            self.window // 4,
            window=self.shape,
            normalized=True,
            pad_mode="constant",  # the others have no deterministic gradient on CUDA
            return_complex=True,
        )
        x = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return self.verdict(x), features


class Adversary:
    """The discriminator with its optimiser. A batch first teaches it, then it judges."""

    def __init__(self, device: torch.device):
        self.discriminators = nn.ModuleList(SpectrumDiscriminator(window) for window in WINDOWS).to(device)
        self.optimizer = torch.optim.AdamW(self.discriminators.parameters(), RATE, BETAS)

    def learn(self, audio: Tensor, output: Tensor) -> Tensor:
        """One step of telling speech [batch, samples] from the codec's output; returns the hinge loss before it."""
        with full_float32(audio.device):
            loss = torch.zeros((), device=audio.device)
            for discriminator in self.discriminators:
                (real, _), (made, _) = discriminator(_loud(audio, audio)), discriminator(_loud(output.detach(), audio))
                loss = loss + (functional.relu(1 - real).mean() + functional.relu(1 + made).mean()) / len(WINDOWS)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        for weight in self.discriminators.parameters():
            weight.grad = distributed.mean(weight.grad)
        nn.utils.clip_grad_norm_(self.discriminators.parameters(), LARGEST_GRADIENT)
        self.optimizer.step()
        return loss.detach()

    def judge(self, audio: Tensor, output: Tensor) -> Tensor:
        """How far the output [batch, samples] is from passing for speech, with feature matching (scalar)."""
        self.discriminators.requires_grad_(False)
        with full_float32(audio.device):
            loss = torch.zeros((), device=audio.device)
            for discriminator in self.discriminators:
                with torch.no_grad():
                    _, wanted = discriminator(_loud(audio, audio))
                verdict, seen = discriminator(_loud(output, audio))
                distances = [
                    functional.l1_loss(own, other) / distributed.mean(other.abs().mean())
                    for own, other in zip(seen, wanted, strict=True)
                ]
                loss = loss - verdict.mean() + FEATURES_WEIGHT * torch.stack(distances).mean()
        self.discriminators.requires_grad_(True)
        return loss / len(WINDOWS)

    def state(self) -> dict:
        return {"discriminators": self.discriminators.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict) -> None:
        self.discriminators.load_state_dict(state["discriminators"])
        self.optimizer.load_state_dict(state["optimizer"])


def balanced(loss: Tensor, other: Tensor, weight: float, output: Tensor) -> Tensor:
    """`loss`, plus `other` scaled so that its gradient at the output is `weight` times that of `loss`.

    So no scale of a loss, and no discriminator that wins, can drown what the codec is trained for. Source: the balancer of
    EnCodec (arXiv 2210.13438), for two losses and without memory.
    """
    gradients = (torch.autograd.grad(part, output, retain_graph=True)[0] for part in (loss, other))
    own, others = (distributed.mean(gradient.square().sum()).sqrt() for gradient in gradients)
    return loss + weight * own / (others + 1e-12) * other


def _loud(signal: Tensor, audio: Tensor) -> Tensor:
    """The signal at the level that brings the speech to RMS 1, so that quiet speech is judged like any other."""
    level = audio.float().square().mean(1, keepdim=True).sqrt()
    return signal.float() / (level + 1e-3)

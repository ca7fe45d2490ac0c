"""The first codebook: the energies of the bands that only noise fills, predicted from the frames before."""

import torch
from torch import Tensor, nn

from telucodec.networks.precision import full_float32
from telucodec.networks.tokens.kmeans import kmeans, nearest

TAPS = 4  # frames that a prediction uses
ORDER = 8  # of the autoregression whose residual stands in for the codewords when the taps are fitted
LARGEST_ROOT = 0.6  # of the predictor, which makes errors fade: quantised codewords predict worse than exact ones
ITERATIONS = 8  # of k-means, and of its continuation in the loop


class EnergyQuantizer(nn.Module):
    """Vector quantiser with moving-average prediction, for energies [batch, frames, bands] with a mean of about 0.

    What is decoded is the codeword of the frame plus weighted codewords of the `TAPS` frames before. A damaged or cut
    stream is thus right again after `TAPS` frames. Source: the predictor of line spectral frequencies of ITU-T G.729
    (Salami et al., IEEE Trans. Speech and Audio Processing 6, 1998).
    """

    codebook: Tensor  # [codebook_size, bands]
    taps: Tensor  # [TAPS, bands], the weights of earlier codewords, the last frame's first

    def __init__(self, codebook_size: int, bands: int):
        super().__init__()
        self.register_buffer("codebook", torch.randn(codebook_size, bands))
        self.register_buffer("taps", torch.zeros(TAPS, bands))

    def start(self, batch: int) -> Tensor:
        """The codewords [batch, TAPS, bands] before the first frame: zeros."""
        return self.codebook.new_zeros(batch, TAPS, self.codebook.shape[1])

    @torch.no_grad()
    def fit(self, energies: Tensor, silence: Tensor) -> None:
        """Set taps and codewords from energies [batch, frames, bands] of speech and from those of silence [bands].

        One codeword is what silence needs in every frame, so that its codes stay the same and cost next to nothing.

        Raises:
            ValueError: fewer frames than codewords.
        """
        energies = energies.float()
        self.taps.copy_(_moving_average(energies))
        innovations = self._innovations(energies)
        self.codebook.copy_(kmeans(innovations.flatten(0, 1), len(self.codebook), ITERATIONS))
        for _ in range(ITERATIONS):  # in the loop, predictions carry the errors of codewords
            targets, codes, _ = self.encode(energies, self.start(len(energies)))
            flat, index = targets.flatten(0, 1), codes.flatten()
            counts = torch.bincount(index, minlength=len(self.codebook)).unsqueeze(1)
            means = torch.zeros_like(self.codebook).index_add_(0, index, flat) / counts.clamp(min=1)
            drawn = flat[torch.randint(len(flat), (len(self.codebook),), device="cpu").to(flat.device)]
            self.codebook.copy_(torch.where(counts > 0, means, drawn))
        self.codebook[0] = silence / (1 + self.taps.sum(0))

    def _innovations(self, energies: Tensor) -> Tensor:
        """The parts of energies [batch, frames, bands] that exact codewords would not predict."""
        past, found = self.start(len(energies)), []
        for frame in energies.unbind(1):
            innovation = frame - (past * self.taps).sum(1)
            past = torch.cat([innovation[:, None], past[:, :-1]], dim=1)
            found.append(innovation)
        return torch.stack(found, dim=1)

    @torch.no_grad()
    def encode(self, energies: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise energies [batch, frames, bands] in the loop.

        Returns:
            What was quantised, the energies minus their prediction [batch, frames, bands]; the codes [batch, frames];
            and `past` for the next call.
        """
        targets, codes = [], []
        with full_float32(energies.device):
            for frame in energies.float().unbind(1):
                target = frame - (past * self.taps).sum(1)
                code = nearest(target, self.codebook)
                past = torch.cat([self.codebook[code][:, None], past[:, :-1]], dim=1)
                targets.append(target)
                codes.append(code)
        return torch.stack(targets, dim=1), torch.stack(codes, dim=1), past

    def decode(self, codewords: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Codewords [batch, frames, bands] to energies [batch, frames, bands], and `past` for the next call."""
        frames = codewords.shape[1]
        line = torch.cat([past.flip(1), codewords], dim=1)
        energies = codewords
        for tap, weight in enumerate(self.taps, 1):
            energies = energies + weight * line[:, TAPS - tap : TAPS - tap + frames]
        return energies, line[:, -TAPS:].flip(1)


def _moving_average(energies: Tensor) -> Tensor:
    """The taps [TAPS, bands] that predict energies [batch, frames, bands] best from innovations of earlier frames.

    The innovations are the residual of an autoregression, as in the method of Durbin (Biometrika 46, 1959).
    """
    taps = []
    for band in energies.unbind(2):
        windows = band.unfold(1, ORDER + 1, 1).flatten(0, 1)
        weights = _regression(windows[:, :-1], windows[:, -1])
        innovations = band[:, ORDER:] - band.unfold(1, ORDER, 1)[:, :-1] @ weights
        earlier = innovations.unfold(1, TAPS, 1)[:, :-1].flatten(0, 1)
        taps.append(_stable(_regression(earlier, band[:, ORDER + TAPS :].flatten()).flip(0)))
    return torch.stack(taps, dim=1)


def _stable(taps: Tensor) -> Tensor:
    """Taps [TAPS] whose inverse, which finds the innovations, fades: farther ones shrink until all roots are small."""
    companion = torch.diag(torch.ones(TAPS - 1, dtype=torch.float64), -1)
    companion[0] = -taps.double().cpu()
    largest = float(torch.linalg.eigvals(companion).abs().max())
    shrink = min(LARGEST_ROOT / max(largest, 1e-9), 1.0)
    return taps * shrink ** torch.arange(1, TAPS + 1, device=taps.device)


def _regression(inputs: Tensor, outputs: Tensor) -> Tensor:
    """The weights [width] with which inputs [count, width] predict outputs [count] best."""
    inputs, outputs = inputs.double(), outputs.double()
    ridge = 1e-6 * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64, device=inputs.device)
    return torch.linalg.solve(inputs.t() @ inputs + ridge, inputs.t() @ outputs).float()

"""The token codec: MDCT, causal encoder, residual vector quantiser, causal decoder, inverse MDCT."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from codec.exact import restore, stored
from codec.mdct import MDCT
from codec.tokens.blocks import CausalStack
from codec.tokens.prior import TokenPrior
from codec.tokens.quantizer import QuantizerConfig, ResidualVQ
from codec.tokens.spectrum import Spectrum

AVERAGES = "quantizer.usage", "quantizer.sums"  # buffers that only training needs


@dataclass(frozen=True)
class TokenConfig:
    """Shape of a token codec; params.yaml says what each setting does."""

    sample_rate: int = 16000
    hop: int = 320
    latent: int = 64
    channels: int = 256
    encoder_layers: int = 4
    decoder_layers: int = 4
    kernel: int = 7
    compand: float = 1.0
    noise_from: float | None = None
    noise_weight: float = 1.5
    init: Literal["pca", "random"] = "pca"
    output_activation: Literal["none", "tanh"] = "none"
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)


class TokenOutput(NamedTuple):
    """What `TokenCodec.forward` returns."""

    audio: Tensor  # [batch, samples]
    codes: Tensor  # [batch, levels, frames]
    vq_loss: Tensor  # scalar


class State(NamedTuple):
    """What an encoder or a decoder remembers between two calls."""

    overlap: Tensor  # [batch, hop]: samples ahead of the next ones, or what the last frame adds to them
    past: list[Tensor]  # [batch, kernel - 1, channels] of each block
    frame: int = 0  # number of the next one


class TokenCodec(nn.Module):
    """Fixed-rate codec: every frame of `hop` samples becomes `levels` codes of `log2(size)` bits.

    The linear path alone (projection on the principal components of the MDCT coefficients, k-means codebooks, projection
    back) is a working codec before any training, because both stacks start by returning zeros; training adds what the
    context gives. All of it is causal but for the MDCT's look-ahead of one hop.
    """

    def __init__(self, config: TokenConfig):
        super().__init__()
        self.config = config
        self.mdct = MDCT(config.hop)
        self.spectrum = Spectrum(config.hop, config.sample_rate, config.compand, config.noise_from, config.noise_weight)
        features = self.spectrum.size
        self.analysis = nn.Linear(features, config.latent, bias=False)
        self.synthesis = nn.Linear(config.latent, features, bias=False)
        zero_out = config.init == "pca"
        sizes = dict(channels=config.channels, kernel=config.kernel, zero_out=zero_out)
        self.encoder = CausalStack(features, outputs=config.latent, layers=config.encoder_layers, **sizes)
        self.decoder = CausalStack(config.latent, outputs=features, layers=config.decoder_layers, **sizes)
        self.quantizer = ResidualVQ(config.quantizer, config.latent)
        self.prior = TokenPrior(config.quantizer.levels, config.quantizer.size, config.latent)
        self.register_buffer("level", torch.ones(()))  # RMS of the MDCT coefficients, so that the network sees about 1
        self.register_buffer("gain", torch.ones(()))  # of the output; what is learnt for the ear may come out too quiet

    @classmethod
    def load(cls, folder: Path) -> "TokenCodec":
        """The codec that `save` wrote into `folder`, on the CPU and in evaluation mode."""
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        codec = cls(TokenConfig(**{**values, "quantizer": QuantizerConfig(**values["quantizer"])}))
        restore(codec, load_file(folder / "model.safetensors"), missing=AVERAGES)
        return codec.eval()

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `config.json` into an existing folder.

        Weights are rounded to float16, half the size at an error far below that of the quantiser, those of the prior are
        integers; the moving averages of training are left out.
        """
        state = {name: value for name, value in stored(self).items() if name not in AVERAGES}
        weights = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=2) + "\n", encoding="utf-8")

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.config.sample_rate / self.config.hop

    def nominal_kbps(self, levels: int) -> float:
        """Bits of the codes alone, fixed rate, in kbit/s."""
        return self.frame_rate * self.quantizer.bits_per_frame * levels / self.config.quantizer.levels / 1000

    @torch.no_grad()
    def fit(self, audio: Tensor) -> None:
        """Set the starting point from speech [batch, samples], as the configuration asks: PCA and k-means.

        Raises:
            ValueError: fewer frames than codewords.
        """
        coefficients = self.mdct(audio)
        self.level.copy_(coefficients.square().mean().sqrt().clamp(min=1e-8))
        if self.config.init == "pca":
            flat = self.spectrum.features(coefficients / self.level).flatten(0, 1)
            _, vectors = torch.linalg.eigh(flat.t() @ flat / len(flat))
            principal = vectors[:, -self.config.latent :].flip(1)
            self.analysis.weight.copy_(principal.t())
            self.synthesis.weight.copy_(principal)
        if self.config.quantizer.init == "kmeans":
            self.quantizer.fit(self.latents(audio).flatten(0, 1))

    @torch.no_grad()
    def set_gain(self, audio: Tensor) -> None:
        """Set the gain of the output to that of least squared error, from speech [batch, samples]."""
        output = self(audio).audio
        self.gain.mul_((audio * output).sum() / output.square().sum().clamp(min=1e-12))

    def latents(self, audio: Tensor) -> Tensor:
        """Audio [batch, samples] to unquantised latents [batch, frames, latent]."""
        return self._analysed(self.mdct(audio), self.encoder.start(len(audio)))[0]

    def synthesize(self, latents: Tensor, samples: int) -> Tensor:
        """Quantised latents [batch, frames, latent] to audio [batch, samples]."""
        coefficients, _ = self._synthesised(latents, self.decoder.start(len(latents)))
        return self._activated(self.mdct.inverse(coefficients, samples))

    def _analysed(self, coefficients: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        features = self.spectrum.features(coefficients / self.level)
        encoded, past = self.encoder(features, past)
        return self.analysis(features) + encoded, past

    def _synthesised(self, latents: Tensor, past: list[Tensor], frame: int = 0) -> tuple[Tensor, list[Tensor]]:
        decoded, past = self.decoder(latents, past)
        features = (self.synthesis(latents) + decoded).float()
        return self.spectrum.coefficients(features, frame) * (self.level * self.gain), past

    def _activated(self, audio: Tensor) -> Tensor:
        return audio.tanh() if self.config.output_activation == "tanh" else audio

    def forward(self, audio: Tensor, levels: Tensor | None = None, shared: Tensor | None = None) -> TokenOutput:
        """Encode and decode for training: greedy codes, straight-through gradients.

        Args:
            audio: [batch, samples] in [-1, 1].
            levels, shared: as in `ResidualVQ.forward`.
        """
        quantized = self.quantizer(self.latents(audio), levels, shared)
        return TokenOutput(self.synthesize(quantized.latents, audio.shape[1]), quantized.codes, quantized.loss)

    @torch.no_grad()
    def encode(self, audio: Tensor, levels: int | None = None) -> Tensor:
        """Audio [batch, samples] to codes [batch, levels, frames]; None: all levels."""
        return self.quantizer.encode(self.latents(audio), levels)

    @torch.no_grad()
    def decode(self, codes: Tensor, samples: int) -> Tensor:
        """Codes [batch, levels, frames] of any number of levels to audio [batch, samples]."""
        return self.synthesize(self.quantizer.decode(codes), samples)

    def encoder_start(self, batch: int = 1) -> State:
        """What `encode_next` is given with the first samples of recordings."""
        return State(self.mdct.silence(batch), self.encoder.start(batch))

    @torch.no_grad()
    def encode_next(self, audio: Tensor, state: State, levels: int | None = None) -> tuple[Tensor, State]:
        """Audio as it comes [batch, frames * hop] to codes [batch, levels, frames] and the state for what follows.

        A recording's end must be padded: to a whole hop, and by one hop more for the last frame.
        """
        coefficients, before = self.mdct.analyse(state.overlap, audio)
        latents, past = self._analysed(coefficients, state.past)
        return self.quantizer.encode(latents, levels), State(before, past)

    def decoder_start(self, batch: int = 1) -> State:
        """What `decode_next` is given with the first codes of recordings."""
        return State(self.mdct.silence(batch), self.decoder.start(batch))

    @torch.no_grad()
    def decode_next(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        """Codes as they come [batch, levels, frames] to audio [batch, frames * hop] and the state for what follows.

        The audio is a hop behind: the first hop of a recording lies before its start.
        """
        coefficients, past = self._synthesised(self.quantizer.decode(codes), state.past, state.frame)
        audio, overlap = self.mdct.synthesise(state.overlap, coefficients)
        return self._activated(audio), State(overlap, past, state.frame + codes.shape[2])

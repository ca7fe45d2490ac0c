"""The token codec: MDCT, causal encoder, residual vector quantiser, causal decoder, inverse MDCT."""

import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from telucodec.networks.exact import restore, stored_state
from telucodec.networks.mdct import MDCT
from telucodec.networks.tokens.blocks import CausalStack
from telucodec.networks.tokens.prior import TokenPrior
from telucodec.networks.tokens.quantizer import QuantizerConfig, ResidualVQ
from telucodec.networks.tokens.spectrum import Spectrum

AVERAGES = "quantizer.usage", "quantizer.sums"  # buffers that only training needs


@dataclass(frozen=True)
class TokenConfig:
    """Shape of a token codec; params.yaml documents each setting."""

    sample_rate: int
    hop: int
    latent_dim: int
    channels: int
    encoder_layers: int
    decoder_layers: int
    kernel: int
    compand: float
    noise_from: float | None
    noise_weight: float
    init: Literal["pca", "random"]
    output_activation: Literal["none", "tanh"]
    quantizer: QuantizerConfig


class TokenOutput(NamedTuple):
    """The output of `TokenCodec.forward`."""

    audio: Tensor  # [batch, samples]
    codes: Tensor  # [batch, codebooks, frames]
    vq_loss: Tensor  # scalar


class State(NamedTuple):
    """What an encoder or a decoder remembers between two calls."""

    overlap: Tensor  # [batch, hop]: encoder: the samples before the next ones; decoder: to be added to the next ones
    past: list[Tensor]  # [batch, kernel - 1, channels] of each block
    frame: int = 0  # number of the next frame


class TokenCodec(nn.Module):
    """Fixed-rate codec: each frame of `hop` samples becomes `num_codebooks` codes of `log2(codebook_size)` bits.

    The linear path alone is a working codec before any training: projection on the principal components of the MDCT
    coefficients, k-means codebooks, projection back. Both stacks start by returning zeros, and training adds what
    context contributes. Everything is causal except for the MDCT's look-ahead of one hop.
    """

    level: Tensor  # scalar, RMS of the MDCT coefficients; the network works on coefficients divided by it
    gain: Tensor  # scalar, of the output, because training with perceptual losses may leave it too quiet

    def __init__(self, config: TokenConfig):
        super().__init__()
        self.config = config
        self.mdct = MDCT(config.hop)
        self.spectrum = Spectrum(config.hop, config.sample_rate, config.compand, config.noise_from, config.noise_weight)
        features = self.spectrum.size
        self.analysis = nn.Linear(features, config.latent_dim, bias=False)
        self.synthesis = nn.Linear(config.latent_dim, features, bias=False)
        stack = functools.partial(
            CausalStack, channels=config.channels, kernel=config.kernel, zero_out=config.init == "pca"
        )
        self.encoder = stack(features, outputs=config.latent_dim, layers=config.encoder_layers)
        self.decoder = stack(config.latent_dim, outputs=features, layers=config.decoder_layers)
        self.quantizer = ResidualVQ(config.quantizer, config.latent_dim)
        self.prior = TokenPrior(config.quantizer.num_codebooks, config.quantizer.codebook_size, config.latent_dim)
        self.register_buffer("level", torch.ones(()))
        self.register_buffer("gain", torch.ones(()))

    @classmethod
    def load(cls, folder: Path) -> "TokenCodec":
        """Load a codec that `save` wrote, onto the CPU and in evaluation mode."""
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        codec = cls(TokenConfig(**{**values, "quantizer": QuantizerConfig(**values["quantizer"])}))
        restore(codec, load_file(folder / "model.safetensors"), optional=AVERAGES)
        return codec.eval()

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `config.json` into an existing folder."""
        save_file(self.stored_weights(), folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.config), indent=2) + "\n", encoding="utf-8")

    def stored_weights(self) -> dict[str, Tensor]:
        """The weights as saved: those of the prior as integers, others in float16; without training's moving averages.

        Float16 halves the size, and its error is far below that of the quantiser.
        """
        state = {name: value for name, value in stored_state(self).items() if name not in AVERAGES}
        return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.config.sample_rate / self.config.hop

    def nominal_kbps(self, num_codebooks: int) -> float:
        """The rate of the codes alone at a fixed number of bits per code, in kbit/s."""
        every = self.config.quantizer.num_codebooks
        return self.frame_rate * self.quantizer.bits_per_frame * num_codebooks / every / 1000

    @torch.no_grad()
    def fit(self, audio: Tensor) -> None:
        """Initialise the codec from speech [batch, samples] as the configuration says: PCA and k-means.

        Raises:
            ValueError: fewer frames than codewords.
        """
        coefficients = self.mdct(audio)
        self.level.copy_(coefficients.square().mean().sqrt().clamp(min=1e-8))
        if self.config.init == "pca":
            flat = self.spectrum.features(coefficients / self.level).flatten(0, 1)
            _, vectors = torch.linalg.eigh(flat.t() @ flat / len(flat))
            principal = vectors[:, -self.config.latent_dim :].flip(1)
            self.analysis.weight.copy_(principal.t())
            self.synthesis.weight.copy_(principal)
        if self.config.quantizer.init == "kmeans":
            self.quantizer.fit(self.latents(audio).flatten(0, 1))

    @torch.no_grad()
    def set_gain(self, audio: Tensor) -> None:
        """Set the output gain that minimises the squared error on speech [batch, samples]."""
        output = self(audio).audio
        self.gain.mul_((audio * output).sum() / output.square().sum().clamp(min=1e-12))

    def latents(self, audio: Tensor) -> Tensor:
        """Audio [batch, samples] to unquantised latents [batch, frames, latent_dim]."""
        return self._analyse(self.mdct(audio), self.encoder.start(len(audio)))[0]

    def synthesize(self, latents: Tensor, samples: int) -> Tensor:
        """Quantised latents [batch, frames, latent_dim] to audio [batch, samples]."""
        coefficients, _ = self._synthesise(latents, self.decoder.start(len(latents)))
        return self._activate(self.mdct.inverse(coefficients, samples))

    def _analyse(self, coefficients: Tensor, past: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        features = self.spectrum.features(coefficients / self.level)
        encoded, past = self.encoder(features, past)
        return self.analysis(features) + encoded, past

    def _synthesise(self, latents: Tensor, past: list[Tensor], frame: int = 0) -> tuple[Tensor, list[Tensor]]:
        decoded, past = self.decoder(latents, past)
        features = (self.synthesis(latents) + decoded).float()
        return self.spectrum.coefficients(features, frame) * (self.level * self.gain), past

    def _activate(self, audio: Tensor) -> Tensor:
        return audio.tanh() if self.config.output_activation == "tanh" else audio

    def forward(self, audio: Tensor, num_codebooks: Tensor | None = None, shared: Tensor | None = None) -> TokenOutput:
        """Encode and decode for training, with greedy codes and straight-through gradients.

        Args:
            audio: [batch, samples] in [-1, 1].
            num_codebooks, shared: as in `ResidualVQ.forward`.
        """
        quantized = self.quantizer(self.latents(audio), num_codebooks, shared)
        return TokenOutput(self.synthesize(quantized.latents, audio.shape[1]), quantized.codes, quantized.loss)

    @torch.no_grad()
    def encode(self, audio: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Audio [batch, samples] to codes [batch, codebooks, frames]; None: all codebooks."""
        return self.quantizer.encode(self.latents(audio), num_codebooks)

    @torch.no_grad()
    def decode(self, codes: Tensor, samples: int) -> Tensor:
        """Codes [batch, codebooks, frames] of any number of codebooks to audio [batch, samples]."""
        return self.synthesize(self.quantizer.decode(codes), samples)

    def encoder_start(self, batch: int = 1) -> State:
        """The state for `encode_next` at the start of recordings."""
        return State(self.mdct.silence(batch), self.encoder.start(batch))

    @torch.no_grad()
    def encode_next(self, audio: Tensor, state: State, num_codebooks: int | None = None) -> tuple[Tensor, State]:
        """Encode the next audio [batch, frames * hop] of recordings.

        The end of a recording must be padded to a whole hop, and then by one more hop, which completes the last frame.

        Returns:
            Codes [batch, codebooks, frames], and the state for the next call.
        """
        coefficients, before = self.mdct.analyse(state.overlap, audio)
        latents, past = self._analyse(coefficients, state.past)
        return self.quantizer.encode(latents, num_codebooks), State(before, past)

    def decoder_start(self, batch: int = 1) -> State:
        """The state for `decode_next` at the start of recordings."""
        return State(self.mdct.silence(batch), self.decoder.start(batch))

    @torch.no_grad()
    def decode_next(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        """Decode the next codes [batch, codebooks, frames] of recordings.

        Returns:
            Audio [batch, frames * hop], and the state for the next call. The audio lags by one hop: the first hop lies
            before the start of the recording.
        """
        coefficients, past = self._synthesise(self.quantizer.decode(codes), state.past, state.frame)
        audio, overlap = self.mdct.synthesise(state.overlap, coefficients)
        return self._activate(audio), State(overlap, past, state.frame + codes.shape[2])

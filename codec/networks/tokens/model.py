"""The token codec: MDCT, causal encoder, quantisers of energies and coefficients, causal decoder, inverse MDCT."""

import functools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from telucodec.networks.exact import restore, stored_state
from telucodec.networks.mdct import MDCT
from telucodec.networks.tokens.blocks import CausalStack
from telucodec.networks.tokens.energies import EnergyQuantizer
from telucodec.networks.tokens.prior import TokenPrior
from telucodec.networks.tokens.quantizer import QuantizerConfig, ResidualVQ, sums
from telucodec.networks.tokens.spectrum import Spectrum

AVERAGES = "quantizer.usage", "quantizer.sums"  # buffers that only training needs
HUSHED = -4.0  # nepers, gain of the noise beside coded coefficients before training
GAINS = -12.0, 2.0  # nepers, limits of the gain of the noise


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
    init: Literal["pca", "random"]
    output_activation: Literal["none", "tanh"]
    quantizer: QuantizerConfig


class Analysis(NamedTuple):
    """What is quantised of audio."""

    targets: Tensor  # [batch, frames, bands], energies minus what the codewords of earlier frames predict
    energy_codes: Tensor  # [batch, energy codebooks (0 or 1), frames]
    latents: Tensor  # [batch, frames, latent_dim]


class TokenOutput(NamedTuple):
    """The output of `TokenCodec.forward`."""

    audio: Tensor  # [batch, samples]
    codes: Tensor  # [batch, codebooks, frames]
    vq_loss: Tensor  # scalar


class State(NamedTuple):
    """What an encoder or a decoder remembers between two calls."""

    overlap: Tensor  # [batch, hop]: encoder: the samples before the next ones; decoder: to be added to the next ones
    energies: Tensor  # [batch, taps, bands]: the energy codewords of the frames before
    past: list[Tensor]  # [batch, kernel - 1, channels] of each block
    frame: int = 0  # number of the next frame


class TokenCodec(nn.Module):
    """Each frame of `hop` samples becomes `num_codebooks` codes of `log2(codebook_size)` bits.

    The first codebook codes the energies of the bands above `noise_from`, the others the coefficients below. Without
    `noise_from`, all codebooks code coefficients.

    The codec works before any training: projection on the principal components of the companded MDCT coefficients,
    k-means codebooks, projection back, and noise with the energies of the bands. Both stacks start by returning zeros,
    and training adds what context contributes. Everything is causal except for the MDCT's look-ahead of one hop.
    """

    level: Tensor  # scalar, RMS of the MDCT coefficients; the network works on coefficients divided by it
    energy_mean: Tensor  # [bands], of the energies
    energy_scale: Tensor  # scalar, makes the energies count as much as all latents

    def __init__(self, config: TokenConfig):
        super().__init__()
        self.config = config
        self.mdct = MDCT(config.hop)
        self.spectrum = Spectrum(config.hop, config.sample_rate, config.compand, config.noise_from)
        coded, bands, settings = self.spectrum.coded, self.spectrum.bands, config.quantizer
        self.energy_codebooks = 1 if bands else 0
        self.analysis = nn.Linear(coded, config.latent_dim, bias=False)
        self.synthesis = nn.Linear(config.latent_dim, coded, bias=False)
        stack = functools.partial(
            CausalStack, channels=config.channels, kernel=config.kernel, zero_out=config.init == "pca"
        )
        # Without layers there is nothing to learn: the latents are the principal components.
        self.encoder = (
            stack(coded, outputs=config.latent_dim, layers=config.encoder_layers) if config.encoder_layers else None
        )
        self.analysis.requires_grad_(bool(config.encoder_layers))
        outputs = 2 * config.hop if bands else coded
        self.decoder = stack(bands + config.latent_dim, outputs=outputs, layers=config.decoder_layers)
        if bands:
            self.decoder.bias_outputs(slice(config.hop, config.hop + coded), HUSHED)
        self.energy_quantizer = EnergyQuantizer(settings.codebook_size, bands)
        self.quantizer = ResidualVQ(
            replace(settings, num_codebooks=settings.num_codebooks - self.energy_codebooks), config.latent_dim
        )
        self.prior = TokenPrior(settings.num_codebooks, settings.codebook_size, bands + config.latent_dim)
        self.register_buffer("level", torch.ones(()))
        self.register_buffer("energy_mean", torch.zeros(bands))
        self.register_buffer("energy_scale", torch.ones(()))

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
    def num_codebooks(self) -> int:
        """The number of codebooks, that of the energies included."""
        return self.config.quantizer.num_codebooks

    @property
    def codebooks(self) -> Tensor:
        """All codebooks [codebooks, codebook_size, bands + latent_dim]: each is zero where another kind of codebook codes."""
        low = functional.pad(self.quantizer.codebooks, (self.spectrum.bands, 0))
        if not self.energy_codebooks:
            return low
        return torch.cat([functional.pad(self.energy_quantizer.codebook, (0, self.config.latent_dim))[None], low])

    @torch.no_grad()
    def fit(self, audio: Tensor) -> None:
        """Initialise the codec from speech [batch, samples] as the configuration says: PCA and k-means.

        Raises:
            ValueError: fewer frames than codewords.
        """
        coefficients = self.mdct(audio)
        self.level.copy_(coefficients.square().mean().sqrt().clamp(min=1e-8))
        compressed = self.spectrum.compressed(coefficients / self.level)
        if self.config.init == "pca":
            flat = compressed.flatten(0, 1)
            _, vectors = torch.linalg.eigh(flat.t() @ flat / len(flat))
            principal = vectors[:, -self.config.latent_dim :].flip(1)
            self.analysis.weight.copy_(principal.t())
            self.synthesis.weight.copy_(principal)
        if self.spectrum.bands:
            energies = self.spectrum.energies(coefficients / self.level)
            self.energy_mean.copy_(energies.mean((0, 1)))
            spread = (energies - self.energy_mean).square().sum(2).mean()
            self.energy_scale.copy_((compressed.square().sum(2).mean() / spread).sqrt())
            silence = self.spectrum.energies(torch.zeros_like(coefficients[0, 0]))
            self.energy_quantizer.fit(*((each - self.energy_mean) * self.energy_scale for each in (energies, silence)))
        if self.config.quantizer.init == "kmeans":
            self.quantizer.fit(self.analyse(audio).latents.flatten(0, 1))

    def analyse(self, audio: Tensor) -> Analysis:
        """What is quantised of audio [batch, samples]."""
        return self._analyse(self.mdct(audio), self.encoder_start(len(audio)))[0]

    def synthesize(self, latents: Tensor, samples: int) -> Tensor:
        """Quantised latents, energies first, [batch, frames, bands + latent_dim] to audio [batch, samples]."""
        coefficients, _, _ = self._synthesise(latents, self.decoder_start(len(latents)))
        return self._activate(self.mdct.inverse(coefficients, samples))

    def _analyse(self, coefficients: Tensor, state: State) -> tuple[Analysis, Tensor, list[Tensor]]:
        coefficients = coefficients / self.level
        compressed = self.spectrum.compressed(coefficients)
        latents, past = self.analysis(compressed), state.past
        if self.encoder is not None:
            encoded, past = self.encoder(compressed, past)
            latents = latents + encoded
        if not self.spectrum.bands:
            batch, frames, _ = latents.shape
            nothing = latents.new_zeros(batch, frames, 0), latents.new_zeros(batch, 0, frames, dtype=torch.int64)
            return Analysis(*nothing, latents), state.energies, past
        energies = (self.spectrum.energies(coefficients) - self.energy_mean) * self.energy_scale
        targets, codes, words = self.energy_quantizer.encode(energies, state.energies)
        return Analysis(targets, codes[:, None], latents), words, past

    def _synthesise(self, latents: Tensor, state: State) -> tuple[Tensor, Tensor, list[Tensor]]:
        words, low = latents.split([self.spectrum.bands, self.config.latent_dim], dim=2)
        energies, words = self.energy_quantizer.decode(words, state.energies)
        decoded, past = self.decoder(torch.cat([energies, low], dim=2), state.past)
        coded = self.spectrum.coded
        coefficients = self.spectrum.expanded((self.synthesis(low) + decoded[..., :coded]).float())
        if self.spectrum.bands:
            levels = self.spectrum.levels(energies / self.energy_scale + self.energy_mean).float()
            residual, gains = decoded[..., coded : self.config.hop].float(), decoded[..., self.config.hop :].float()
            noise = self.spectrum.noise_frames(state.frame, latents.shape[1])
            above = residual * levels[..., coded:].exp()
            coefficients = torch.cat([coefficients, above], dim=2) + (levels + gains.clamp(*GAINS)).exp() * noise
        return coefficients * self.level, words, past

    def _activate(self, audio: Tensor) -> Tensor:
        return audio.tanh() if self.config.output_activation == "tanh" else audio

    def forward(self, audio: Tensor, num_codebooks: Tensor | None = None, shared: Tensor | None = None) -> TokenOutput:
        """Encode and decode for training, with greedy codes and straight-through gradients.

        Args:
            audio: [batch, samples] in [-1, 1].
            num_codebooks: [batch], how many codebooks each item uses, at least 1; None: all.
            shared: as in `ResidualVQ.forward`.
        """
        analysis = self.analyse(audio)
        low_codebooks = None if num_codebooks is None else num_codebooks - self.energy_codebooks
        quantized = self.quantizer(analysis.latents, low_codebooks, shared)
        codes = torch.cat([analysis.energy_codes, quantized.codes], dim=1)
        words = self._energy_words(analysis.energy_codes)
        output = self.synthesize(torch.cat([words, quantized.latents], dim=2), audio.shape[1])
        return TokenOutput(output, codes, quantized.loss)

    def _energy_words(self, codes: Tensor) -> Tensor:
        """The codewords [batch, frames, bands] of energy codes [batch, 0 or 1, frames]."""
        batch, _, frames = codes.shape
        if not self.energy_codebooks:
            return self.energy_quantizer.codebook.new_zeros(batch, frames, 0)
        return self.energy_quantizer.codebook[codes[:, 0]]

    def code(self, analysis: Analysis, num_codebooks: int | None = None) -> Tensor:
        """What is quantised to codes [batch, codebooks, frames] by beam search; None: all codebooks."""
        count = (self.num_codebooks if num_codebooks is None else num_codebooks) - self.energy_codebooks
        return torch.cat([analysis.energy_codes, self.quantizer.encode(analysis.latents, count)], dim=1)

    def errors(self, analysis: Analysis, codes: Tensor) -> Tensor:
        """Squared errors [batch, frames, codebooks + 1] with the first 0, 1, ... codebooks.

        `codes` is [batch, codebooks, frames].
        """
        latents = torch.cat([analysis.targets, analysis.latents], dim=2)
        prefixes = torch.cat([torch.zeros_like(latents)[None], sums(self.codebooks, codes)])
        return (prefixes - latents).square().sum(3).movedim(0, 2)

    @torch.no_grad()
    def encode(self, audio: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Audio [batch, samples] to codes [batch, codebooks, frames]; None: all codebooks."""
        return self.code(self.analyse(audio), num_codebooks)

    @torch.no_grad()
    def decode(self, codes: Tensor, samples: int) -> Tensor:
        """Codes [batch, codebooks, frames] of any number of codebooks to audio [batch, samples]; -1 stands for no codeword."""
        return self.synthesize(sums(self.codebooks, codes)[-1], samples)

    def encoder_start(self, batch: int = 1) -> State:
        """The state for `encode_next` at the start of recordings."""
        past = [] if self.encoder is None else self.encoder.start(batch)
        return State(self.mdct.silence(batch), self.energy_quantizer.start(batch), past)

    @torch.no_grad()
    def encode_next(self, audio: Tensor, state: State, num_codebooks: int | None = None) -> tuple[Tensor, State]:
        """Encode the next audio [batch, frames * hop] of recordings.

        The end of a recording must be padded to a whole hop, and then by one more hop, which completes the last frame.

        Returns:
            Codes [batch, codebooks, frames], and the state for the next call.
        """
        coefficients, before = self.mdct.analyse(state.overlap, audio)
        analysis, words, past = self._analyse(coefficients, state)
        return self.code(analysis, num_codebooks), State(before, words, past)

    def decoder_start(self, batch: int = 1) -> State:
        """The state for `decode_next` at the start of recordings."""
        return State(self.mdct.silence(batch), self.energy_quantizer.start(batch), self.decoder.start(batch))

    @torch.no_grad()
    def decode_next(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        """Decode the next codes [batch, codebooks, frames] of recordings.

        Returns:
            Audio [batch, frames * hop], and the state for the next call. The audio lags by one hop: the first hop lies
            before the start of the recording.
        """
        coefficients, words, past = self._synthesise(sums(self.codebooks, codes)[-1], state)
        audio, overlap = self.mdct.synthesise(state.overlap, coefficients)
        return self._activate(audio), State(overlap, words, past, state.frame + codes.shape[2])

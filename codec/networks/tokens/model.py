"""The token codec: what is coded of speech, residual quantisers, a causal decoder network, and the way back to speech."""

import functools
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from telucodec.networks.exact import restore, stored_state
from telucodec.networks.tokens.blocks import CausalStack
from telucodec.networks.tokens.coding import Analysis, Coding
from telucodec.networks.tokens.prior import TokenPrior
from telucodec.networks.tokens.quantizer import QuantizerConfig, ResidualVQ, sums
from telucodec.networks.tokens.transform import Transform
from telucodec.networks.tokens.vocoder import Vocoder

AVERAGES = "quantizer.usage", "quantizer.sums"  # buffers that only training needs


@dataclass(frozen=True)
class TokenConfig:
    """Shape of a token codec; params.yaml documents each setting."""

    sample_rate: int
    coding: Literal["vocoder", "transform"]
    hop: int
    latent_dim: int
    channels: int
    encoder_layers: int
    decoder_layers: int
    kernel: int
    compand: float
    init: Literal["pca", "random"]
    output_activation: Literal["none", "tanh"]
    quantizer: QuantizerConfig


class TokenOutput(NamedTuple):
    """The output of `TokenCodec.forward`."""

    audio: Tensor  # [batch, samples]
    codes: Tensor  # [batch, codebooks, frames]
    vq_loss: Tensor  # scalar


class State(NamedTuple):
    """What a decoder remembers between two calls."""

    coding: Any
    past: list[Tensor]  # [batch, kernel - 1, channels] of each block


class TokenCodec(nn.Module):
    """Each frame of `hop` samples becomes `num_codebooks` codes of `log2(codebook_size)` bits.

    Vocoder tokens describe speech: its pitch, its phase, and with most codebooks its spectrum. Transform tokens follow its
    waveform. The codec works before any training, and the decoder network starts by returning zeros. Everything is causal
    except for a look-ahead of one hop.
    """

    def __init__(self, config: TokenConfig):
        super().__init__()
        self.config = config
        settings, linear = config.quantizer, config.init == "pca"
        stack = functools.partial(CausalStack, channels=config.channels, kernel=config.kernel, zero_out=linear)
        self.coding: Coding
        if config.coding == "vocoder":
            self.coding = Vocoder(config.latent_dim, settings.num_codebooks, settings.codebook_size)
        else:
            layers = config.encoder_layers
            encoder = stack(config.hop, outputs=config.latent_dim, layers=layers) if layers else None
            kind = linear, config.output_activation, settings.codebook_size
            self.coding = Transform(config.hop, config.latent_dim, config.compand, encoder, *kind)
        # The numbers of the codebooks of the residual quantiser.
        self.learned = [number for number in range(settings.num_codebooks) if number not in self.coding.places]
        width = self.coding.described + config.latent_dim
        self.decoder = stack(width, outputs=self.coding.outputs, layers=config.decoder_layers)
        self.quantizer = ResidualVQ(replace(settings, num_codebooks=len(self.learned)), config.latent_dim)
        self.prior = TokenPrior(settings.num_codebooks, settings.codebook_size, width)

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
        """The number of codebooks, those that are not learned included."""
        return self.config.quantizer.num_codebooks

    @property
    def codebooks(self) -> Tensor:
        """All codebooks [codebooks, codebook_size, described + latent_dim]: each is zero where another kind of codebook codes."""
        own = functional.pad(self.coding.descriptions, (0, self.config.latent_dim))
        learned = functional.pad(self.quantizer.codebooks, (self.coding.described, 0))
        return self._in_order(own, learned, dim=0)

    def _in_order(self, own: Tensor, learned: Tensor, dim: int) -> Tensor:
        """What belongs to codebooks of both kinds, in the order of their numbers."""
        count = own.shape[dim] + learned.shape[dim]
        order = [*self.coding.places[: own.shape[dim]], *self.learned[: learned.shape[dim]]]
        place = torch.tensor([order.index(number) for number in range(count)], device=own.device)
        return torch.cat([own, learned], dim=dim).index_select(dim, place)

    def merged(self, own: Tensor, learned: Tensor) -> Tensor:
        """Codes [batch, codebooks, frames] of codebooks that are not learned [batch, places, frames] and of those that are."""
        return self._in_order(own, learned, dim=1)

    def _own(self, num_codebooks: int) -> int:
        """How many of the first so many codebooks are not learned."""
        return sum(place < num_codebooks for place in self.coding.places)

    def frames(self, samples: int) -> int:
        """The number of frames of a recording of so many samples."""
        return -(-samples // self.config.hop) + 1

    @torch.no_grad()
    def fit(self, audio: Tensor) -> None:
        """Initialise the codec from speech [batch, samples] as the configuration says: statistics and k-means.

        Raises:
            ValueError: fewer frames than codewords.
        """
        self.coding.fit(audio)
        if self.config.quantizer.init == "kmeans":
            self.quantizer.fit(self.analyse(audio).latents.flatten(0, 1))

    def analyse(self, audio: Tensor) -> Analysis:
        """What is coded of audio [batch, samples]; computed on its device, so that rounding may tip a code of `encode`."""
        return self.coding.analyse_whole(self._padded(audio))

    def _padded(self, audio: Tensor) -> Tensor:
        """Audio [batch, samples] with the zeros that complete its last frame."""
        hop = self.config.hop
        return functional.pad(audio, (0, -audio.shape[1] % hop + hop))

    def forward(self, audio: Tensor, num_codebooks: Tensor | None = None, shared: Tensor | None = None) -> TokenOutput:
        """Code and decode audio [batch, samples] as in training: greedy quantisation with straight-through gradients.

        Args:
            num_codebooks: [batch], how many codebooks each item uses; None: all.
            shared: [batch] bool, items for which that number is only the mean over frames; None: no item.
        """
        analysis = self.analyse(audio)
        if num_codebooks is None:
            num_codebooks = torch.full((len(audio),), self.num_codebooks, device=audio.device)
        own = torch.tensor([self._own(count) for count in range(self.num_codebooks + 1)], device=audio.device)
        quantized = self.quantizer(analysis.latents, num_codebooks - own[num_codebooks], shared, self.coding.absent)
        codes = self.merged(analysis.own, quantized.codes)
        depth = num_codebooks[:, None].expand_as(quantized.used)
        if shared is not None:  # a frame ends with a codebook that is learned
            ends = torch.tensor([0, *(number + 1 for number in self.learned)], device=audio.device)
            depth = torch.where(shared[:, None], ends[quantized.used], depth)
        places = torch.tensor(self.coding.places, device=audio.device)[:, None]
        present = torch.where(places < depth[:, None], analysis.own, -1)
        return TokenOutput(self.synthesize(present, quantized.latents, audio.shape[1]), codes, quantized.loss)

    def synthesize(self, own: Tensor, latents: Tensor, samples: int) -> Tensor:
        """Codes [batch, places, frames] and latents [batch, frames, latent_dim] to audio [batch, samples]."""
        described = latents.new_zeros(*latents.shape[:2], self.coding.described)
        if self.coding.places:
            described = sums(self.coding.descriptions, own)[-1]
        audio, _ = self._synthesise(own, torch.cat([described, latents], dim=2), self.decoder_start(len(latents)))
        return self._aligned(audio, samples)

    def code(self, analysis: Analysis, num_codebooks: int | None = None) -> Tensor:
        """What is coded to codes [batch, codebooks, frames] by beam search; None: all codebooks."""
        count = self.num_codebooks if num_codebooks is None else num_codebooks
        own = self._own(count)
        return self.merged(analysis.own[:, :own], self.quantizer.encode(analysis.latents, count - own))

    def errors(self, analysis: Analysis, codes: Tensor) -> Tensor:
        """Squared errors [batch, frames, codebooks + 1] of the latents with the first 0, 1, ... codebooks.

        `codes` is [batch, codebooks, frames].
        """
        absent = self.coding.absent.expand_as(analysis.latents)
        prefixes = torch.cat([absent[None], sums(self.codebooks, codes)[..., self.coding.described :]])
        return (prefixes - analysis.latents).square().sum(3).movedim(0, 2)

    @torch.no_grad()
    def encode(self, audio: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Audio [batch, samples] to codes [batch, codebooks, frames]; None: all codebooks."""
        return self.encode_next(self._padded(audio), self.encoder_start(len(audio)), num_codebooks)[0]

    @torch.no_grad()
    def decode(self, codes: Tensor, samples: int) -> Tensor:
        """Codes [batch, codebooks, frames] of any number of codebooks to audio [batch, samples]; -1 stands for no codeword."""
        return self._aligned(self.decode_next(codes, self.decoder_start(len(codes)))[0], samples)

    def encoder_start(self, batch: int = 1) -> Any:
        """The state for `encode_next` at the start of recordings."""
        return self.coding.analysis_start(batch)

    @torch.no_grad()
    def encode_next(self, audio: Tensor, state: Any, num_codebooks: int | None = None) -> tuple[Tensor, Any]:
        """Encode the next audio [batch, frames * hop] of recordings.

        The end of a recording must be padded to a whole hop, and then by one more hop, which completes the last frame.

        Returns:
            Codes [batch, codebooks, frames], and the state for the next call.
        """
        analysis, state = self.coding.analyse(audio, state)
        return self.code(analysis, num_codebooks), state

    def decoder_start(self, batch: int = 1) -> State:
        """The state for `decode_next` at the start of recordings."""
        return State(self.coding.synthesis_start(batch), self.decoder.start(batch))

    @torch.no_grad()
    def decode_next(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        """Decode the next codes [batch, codebooks, frames] of recordings.

        Returns:
            Audio [batch, frames * hop], and the state for the next call. The audio lags by one hop: the first hop lies
            before the start of the recording.
        """
        known = sums(self.codebooks, codes)[-1]
        absent = functional.pad(self.coding.absent, (self.coding.described, 0))
        known = torch.where((codes[:, 0] < 0)[..., None], absent, known)
        return self._synthesise(codes[:, list(self.coding.places[: self._own(codes.shape[1])])], known, state)

    def _synthesise(self, own: Tensor, known: Tensor, state: State) -> tuple[Tensor, State]:
        """Audio [batch, frames * hop] of codes [batch, places, frames] and all that is known of frames [batch, frames, known]."""
        decoded, past = self.decoder(known, state.past)
        audio, coding = self.coding.synthesise(own, known[..., self.coding.described :], decoded, state.coding)
        return audio, State(coding, past)

    def _aligned(self, audio: Tensor, samples: int) -> Tensor:
        """Synthesised audio [batch, frames * hop] without the hop by which it lags, [batch, samples]."""
        return audio[:, self.config.hop : self.config.hop + samples]

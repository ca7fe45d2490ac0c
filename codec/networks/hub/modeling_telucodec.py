"""TeluCodec's tokens as a model of the transformers library, with the methods that EnCodec, DAC and Mimi have there.

Encoding runs on the CPU with NumPy and ONNX Runtime, by the code that `telucodec.Codec.tokenize` runs, so that the codes are
the same to the bit. Decoding runs in PyTorch on any device, and gradients pass through it.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime  # noqa: F401 (from the imports of this file transformers tells what has to be installed)
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput, can_return_tuple
from transformers.utils.versions import require_version

from telucodec.audio.samples import checked
from telucodec.networks.hub.configuration_telucodec import TeluCodecConfig
from telucodec.networks.hub.stored_model import StoredModel
from telucodec.networks.tokens.blocks import CausalStack
from telucodec.networks.tokens.coding import Coding
from telucodec.networks.tokens.transform import Transform
from telucodec.networks.tokens.vocoder import Vocoder
from telucodec.tokens.engine import TokenEngine
from telucodec.tokens.packets import TokenPackets

require_version(
    "transformers>=5", "pip install --upgrade transformers"
)  # earlier ones load buffers in the model's type


@dataclass
class TeluCodecEncoderOutput(ModelOutput):
    """The output of `encode`."""

    audio_codes: Tensor | None = None  # [batch, codebooks, frames], int64; -1 after the end of an item


@dataclass
class TeluCodecDecoderOutput(ModelOutput):
    """The output of `decode`."""

    audio_values: Tensor | None = None  # [batch, 1, samples], float32


@dataclass
class TeluCodecOutput(ModelOutput):
    """The output of `forward`."""

    audio_codes: Tensor | None = None
    audio_values: Tensor | None = None


class TeluCodecModel(PreTrainedModel):
    """Speech to codes and back. The decoder network takes the type and the device of the model; all else stays float32."""

    config: TeluCodecConfig
    config_class = TeluCodecConfig
    base_model_prefix = "telucodec"
    main_input_name = "input_values"
    input_modalities = "audio"
    _keep_in_fp32_modules_strict = ["coding", "quantizer"]  # noqa: RUF012 (transformers types it so)

    def __init__(self, config: TeluCodecConfig):
        super().__init__(config)
        coding = _coding(config)
        width = coding.described + config.latent_dim
        self.decoder = CausalStack(
            width, config.channels, coding.outputs, config.decoder_layers, config.kernel, zero_out=True
        )
        self.coding = coding
        self.quantizer, self.graphs = nn.Module(), nn.Module()
        shape = config.num_quantizers - len(coding.places), config.codebook_size, config.latent_dim
        self.quantizer.register_buffer("codebooks", torch.zeros(shape, dtype=torch.float32))
        for name, graph in config.graphs.items():
            self.graphs.register_buffer(name, torch.zeros(graph["bytes"], dtype=torch.uint8))
        self.register_load_state_dict_post_hook(_forget_engine)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Restore the constants, which are in no file and which `from_pretrained` leaves empty."""
        if isinstance(module, Coding):
            stored = module.state_dict()
            for name, buffer in _coding(self.config).named_buffers():
                if name not in stored:
                    module.get_buffer(name).copy_(buffer)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TeluCodecModel":
        """As for any module, but what is not the decoder network keeps its type: `model.half()` would ruin it."""
        kept = {id(value) for part in (self.coding, self.quantizer) for value in (*part.parameters(), *part.buffers())}

        def moved(value: Tensor) -> Tensor:
            new = fn(value)
            return new if id(value) not in kept or new.dtype == value.dtype else value.to(new.device)

        return super()._apply(moved, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_engine"}  # it cannot be copied

    @functools.cached_property
    def _engine(self) -> TokenEngine:
        return TokenEngine(StoredModel(self.config, self.state_dict()))

    @can_return_tuple
    def forward(
        self,
        input_values: Tensor | None = None,
        padding_mask: Tensor | None = None,
        num_quantizers: int | None = None,
        audio_codes: Tensor | None = None,
    ) -> TeluCodecOutput:
        """`encode`, unless there are `audio_codes` already, and `decode`. Audio is as long as `input_values`."""
        if audio_codes is None:
            if input_values is None:
                raise ValueError("either input_values or audio_codes must be given")
            audio_codes = self.encode(input_values, padding_mask, num_quantizers, return_dict=True).audio_codes
            if padding_mask is None:
                padding_mask = torch.ones_like(input_values, dtype=torch.bool)
        audio_values = self.decode(audio_codes, padding_mask, return_dict=True).audio_values
        return TeluCodecOutput(audio_codes=audio_codes, audio_values=audio_values)

    @can_return_tuple
    @torch.no_grad()
    def encode(
        self,
        input_values: Tensor,
        padding_mask: Tensor | None = None,
        num_quantizers: int | None = None,
    ) -> TeluCodecEncoderOutput:
        """Audio to codes, on the CPU. Each item is coded by itself, so padding changes no code.

        Args:
            input_values: [batch, 1, samples] or [batch, samples], within [-1, 1].
            padding_mask: as `input_values`; 1 for samples, 0 for the padding after them. None: no padding.
            num_quantizers: the number of codebooks; None: all. The codes of fewer are in general not the first of more.

        Raises:
            ValueError: more than one channel, padding before samples, more codebooks than there are, or audio that is not
                finite or far beyond full scale.
        """
        count = self.config.num_quantizers if num_quantizers is None else num_quantizers
        packets = TokenPackets(self._engine, count)
        audio = _rows("input_values", input_values).float().cpu().numpy()
        lengths = [audio.shape[1]] * len(audio) if padding_mask is None else _lengths(padding_mask).tolist()
        codes = [packets.codes(checked(row[:length])) for row, length in zip(audio, lengths, strict=True)]
        frames = max(item.shape[1] for item in codes)
        padded = [np.pad(item, ((0, 0), (0, frames - item.shape[1])), constant_values=-1) for item in codes]
        stacked = torch.from_numpy(np.stack(padded).astype(np.int64)).to(input_values.device)
        return TeluCodecEncoderOutput(audio_codes=stacked)

    @can_return_tuple
    def decode(
        self,
        audio_codes: Tensor,
        padding_mask: Tensor | None = None,
        latents: Tensor | None = None,
    ) -> TeluCodecDecoderOutput:
        """Codes to audio, float32. Gradients reach the parameters, and `latents` where they are given.

        Args:
            audio_codes: [batch, codebooks, frames] of any number of codebooks; -1 where there is none.
            padding_mask: [batch, 1, samples] or [batch, samples]; audio is cut to its length, and zero where it is 0. None:
                all that the frames hold, (frames - 1) * hop_length samples.
            latents: [batch, latent_dim, frames], in place of those of the codes. Pitch and phase remain those of the codes,
                which have no gradient.

        Raises:
            ValueError: another shape, or codes that are none.
        """
        self._check(audio_codes)
        wanted = len(audio_codes), self.config.latent_dim, audio_codes.shape[2]
        if latents is not None and latents.shape != wanted:
            raise ValueError(f"latents must be {list(wanted)} for these codes, got {list(latents.shape)}")
        own = audio_codes[:, [place for place in self.coding.places if place < audio_codes.shape[1]]]
        known = (self.latents(audio_codes) if latents is None else latents).transpose(1, 2).float()
        if self.coding.places:
            described = _summed(self.coding.descriptions, own)
            known = torch.cat([described, known], dim=2)
        batch, dtype = len(audio_codes), next(self.decoder.parameters()).dtype
        decoded, _ = self.decoder(known.to(dtype), self.decoder.start(batch))
        start = self.coding.synthesis_start(batch)
        audio, _ = self.coding.synthesise(own, known[..., self.coding.described :], decoded, start)
        audio = audio[:, self.config.hop_length :]
        if padding_mask is not None:
            mask = _rows("padding_mask", padding_mask)
            audio = audio[:, : mask.shape[1]] * mask[:, : audio.shape[1]].to(audio)
        return TeluCodecDecoderOutput(audio_values=audio[:, None])

    @property
    def codebooks(self) -> Tensor:
        """All codewords [codebooks, codebook_size, described + latent_dim], with pitch and phase as descriptions.

        An embedding for models of codes can start from them.
        """
        places, described = list(self.coding.places), self.coding.described
        learned = self.quantizer.get_buffer("codebooks")
        shape = self.config.num_quantizers, self.config.codebook_size, described + self.config.latent_dim
        codewords = learned.new_zeros(shape)
        codewords[places, :, :described] = self.coding.descriptions
        codewords[[number for number in range(len(codewords)) if number not in places], :, described:] = learned
        return codewords

    def latents(self, audio_codes: Tensor) -> Tensor:
        """The sums [batch, latent_dim, frames] of the codewords of codes [batch, codebooks, frames], float32."""
        places = self.coding.places
        learned = [number for number in range(audio_codes.shape[1]) if number not in places]
        known = _summed(self.quantizer.get_buffer("codebooks"), audio_codes[:, learned])
        return torch.where((audio_codes[:, 0] < 0)[..., None], self.coding.absent, known).transpose(1, 2)

    def get_encoded_length(self, input_length: Tensor) -> Tensor:
        """The number of frames of recordings of so many samples."""
        return -(-input_length // self.config.hop_length) + 1

    def get_audio_codes_mask(self, padding_mask: Tensor) -> Tensor:
        """Of a mask [batch, samples] or [batch, 1, samples] that of the codes, [batch, frames], bool."""
        frames = self.get_encoded_length(_lengths(padding_mask))
        return torch.arange(int(frames.max()), device=frames.device) < frames[:, None]

    def _check(self, codes: Tensor) -> None:
        most, size = self.config.num_quantizers, self.config.codebook_size
        if codes.ndim != 3 or not 1 <= codes.shape[1] <= most or not codes.shape[2]:
            raise ValueError(
                f"audio_codes must be [batch, codebooks, frames] of 1 to {most} codebooks, got {list(codes.shape)}"
            )
        if codes.is_floating_point() or codes.min() < -1 or codes.max() >= size:
            raise ValueError(f"audio_codes must be integers from 0 to {size - 1}, or -1 where there is none")


def _forget_engine(model: TeluCodecModel, _: Any) -> None:
    """Let the next `encode` use the weights that have just been loaded."""
    vars(model).pop("_engine", None)


def _coding(config: TeluCodecConfig) -> Coding:
    """What is not learned by the decoder network, in float32 on the CPU: `from_pretrained` builds models without values."""
    with torch.device("cpu"), _default(torch.float32):
        if config.coding == "vocoder":
            return Vocoder(config.latent_dim, config.num_quantizers, config.codebook_size)
        layers, linear = config.encoder_layers, config.init == "pca"
        stack = functools.partial(CausalStack, config.hop_length, config.channels, config.latent_dim)
        encoder = stack(layers, config.kernel, zero_out=linear) if layers else None
        settings = config.hop_length, config.latent_dim, config.compand, encoder
        return Transform(*settings, linear, config.output_activation, config.codebook_size)


@contextlib.contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _summed(codebooks: Tensor, codes: Tensor) -> Tensor:
    """The sums [batch, frames, dim] of codewords of codebooks [N, codebook_size, dim]; -1 in codes stands for none."""
    total = codebooks.new_zeros(len(codes), codes.shape[2], codebooks.shape[2])
    for number in range(codes.shape[1]):
        row = codes[:, number]
        total = total + functional.embedding(row.clamp(min=0), codebooks[number]) * (row >= 0)[..., None]
    return total


def _rows(name: str, values: Tensor) -> Tensor:
    """[batch, 1, samples] or [batch, samples] as [batch, samples]."""
    if values.ndim == 3 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim != 2:
        raise ValueError(f"{name} must be mono, [batch, 1, samples] or [batch, samples]; got {list(values.shape)}")
    return values


def _lengths(padding_mask: Tensor) -> Tensor:
    """The number of samples [batch] before the padding."""
    mask = _rows("padding_mask", padding_mask) > 0
    if (mask[:, 1:] & ~mask[:, :-1]).any():
        raise ValueError("padding must come after the samples: set padding_side='right' in the feature extractor")
    return mask.sum(1)

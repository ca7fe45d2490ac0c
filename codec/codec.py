"""TeluCodec's Python interface: `load`, `Codec.encode`, `Codec.decode`, and streaming.

import codec
telu = codec.load()
data = telu.encode(audio, snr=30)      # or kbps=6, or tokens=8
audio = telu.decode(data)
"""

import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from codec import container
from codec.container import ContainerError, Header, Mode
from codec.models import KINDS, Folder, ModelError, identity
from codec.samples import checked
from codec.streaming import Packet, StreamDecoder, StreamEncoder, packets_of
from codec.token_files import TokenFiles
from codec.token_packets import TokenPackets
from codec.tokens.engine import TokenEngine
from codec.tokens.model import TokenCodec
from codec.tokens.streaming import TokenStreamDecoder, TokenStreamEncoder, checked_tokens
from codec.waveform.engine import OnnxEngine
from codec.waveform.model import WaveformCodec
from codec.waveform.packets import WaveformPackets
from codec.waveform_files import WaveformFiles, settings

WEIGHTS = Path(__file__).parent / "weights"


def load(folder: Path | str | None = None, kinds: Iterable[str] = KINDS) -> "Codec":
    """The codec that came with this package, or the models in `folder`/waveform and `folder`/tokens.

    Raises:
        ModelError: there is none of the `kinds`. One that cannot be read is told of when it is first needed.
    """
    folder = WEIGHTS if folder is None else Path(folder)
    found = [kind for kind in kinds if (folder / kind / "config.json").exists()]
    if not found:
        raise ModelError(f"no model in {folder}: {' and '.join(f'{kind}/config.json' for kind in kinds)} not there")
    ids = {name: identity(folder / name) for name in found}
    return Codec(Folder(folder, found), ids)


class Codec:
    """Speech to `.tlc` bytes and back. Audio is mono at `sample_rate`, float32 in [-1, 1] or int16."""

    def __init__(self, models: Mapping[str, WaveformCodec | TokenCodec], ids: dict[str, bytes], engine=OnnxEngine):
        """`engine` runs the context model: OnnxEngine, or TorchEngine to compare with."""
        self._models, self.ids = models, ids
        self._engine = functools.cache(lambda threads: engine(self._model("waveform").context))
        self._token_engine = functools.cache(lambda threads: TokenEngine(self._model("tokens")))

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return next(iter(self._models.values())).config.sample_rate

    @property
    def token_rate(self) -> float:
        """Frames of tokens a second."""
        return self.sample_rate / self._token_coder(0).hop

    @property
    def token_levels(self) -> int:
        """Codebooks, so the most tokens of a frame."""
        return self._token_coder(0).engine.levels

    @property
    def token_count(self) -> int:
        """Tokens that a codebook tells apart."""
        return self._token_coder(0).engine.size

    def encode(
        self,
        audio: np.ndarray,
        *,
        snr: float | None = None,
        kbps: float | None = None,
        step: int | None = None,
        tokens: int | None = None,
        perception: float = 0.0,
        progress: Callable[[float], None] = lambda seconds: None,
    ) -> bytes:
        """Audio [samples] to the bytes of a file. Exactly one of `snr`, `kbps`, `step` and `tokens` says how good, or `tokens`
        with `kbps`.

        Args:
            snr: signal-to-noise ratio in dB over the whole file, met within 0.1 dB.
            kbps: kbit/s of the whole file, header and all, met within 2 %. With `tokens` a limit: frames that need more
                codebooks get more, up to that many, and what all of them take less than is not filled up.
            step: quantiser step, 0 to 1023; six decibels finer every 64. The rate follows the speech.
            tokens: that many codebooks for every frame; 0: all.
            perception: 0: least squared error; 1: noise hidden below speech as far as it goes. Not for tokens.
            progress: called with seconds coded, several times over when a search needs it.

        Raises:
            ValueError: not exactly one target, a value out of range, audio that is not finite or not one-dimensional, or
                a target out of reach.
            ModelError: the model it needs is not there.
        """
        audio = checked(audio)
        targets = {"snr": snr, "kbps": kbps, "step": step, "tokens": tokens}
        given = {name: value for name, value in targets.items() if value is not None}
        if len(given) != 1 and set(given) != {"kbps", "tokens"}:
            raise ValueError(f"give exactly one of snr, kbps, step and tokens, not {len(given)} of them")
        if not 0 <= perception <= 1:
            raise ValueError(f"perception must lie between 0 and 1, got {perception}")
        for name, value in given.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} must be a number, got {value}")
        if kbps is not None and kbps <= 0:
            raise ValueError(f"kbps must be above 0, got {kbps}")
        if tokens is not None and perception:
            raise ValueError("perception is for the waveform mode; tokens have none")
        if tokens is not None:
            coder = self._token_coder(tokens)
            if kbps is None:
                return self._token_files.write(coder.codes(audio), len(audio))
            return self._token_files.fitted(audio, coder.levels, kbps)
        [(name, value)] = given.items()
        value = _integer(name, value) if name == "step" else value
        return self._waveform_files.write(audio, name, value, perception, progress)

    def decode(self, data: bytes, lenient: bool = False) -> np.ndarray:
        """The bytes of a file to float32 audio [samples].

        Args:
            lenient: put silence where a packet is damaged or missing, instead of raising.

        Raises:
            ContainerError, entropy.DamagedPacket: the file is damaged.
            ModelError: it was made with another model.
        """
        parts = list(self.decode_blocks(data, lenient))
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def decode_blocks(self, data: bytes, lenient: bool = False) -> Iterator[np.ndarray]:
        """As `decode`, a stretch at a time, in bounded memory."""
        header, samples, packets = self._opened(data, lenient)
        blocks = self._token_blocks if header.mode is Mode.TOKENS else self._waveform_files.read
        for block in blocks(header, packets, lenient) if samples else ():
            yield block[:samples].astype(np.float32)
            samples = max(samples - len(block), 0)

    def _opened(self, data: bytes, lenient: bool) -> tuple[Header, int, list[Packet]]:
        """A file's header, its number of samples and its packets."""
        header, place = container.read_header(data)
        name = "tokens" if header.mode is Mode.TOKENS else "waveform"
        self._check_model(name, header)
        return header, *packets_of(header, self._model(name).config.hop, data, place, lenient)

    def stream_encoder(self, step: int, perception: float = 0.0, level: float = 0.1) -> StreamEncoder:
        """An encoder for speech as it comes, one frame of 15 ms a packet: latency 30 ms.

        Args:
            step: as in `encode`.
            level: expected RMS of the speech; only matters with `perception`.
        """
        return self._waveform_files.live(settings(step, perception, level))

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for bytes as they come."""
        return StreamDecoder(self)

    def tokenize(self, audio: np.ndarray | torch.Tensor, levels: int = 0) -> torch.Tensor:
        """Audio [samples] to tokens [levels, frames], int64: what `encode` with `tokens` puts into a file.

        Args:
            levels: number of codebooks; 0: all.

        Raises:
            ValueError: audio that is not finite or not one-dimensional, or more codebooks than there are.
            ModelError: there is no token model.
        """
        return torch.from_numpy(np.ascontiguousarray(self._token_coder(levels).codes(checked(np.asarray(audio)))))

    def detokenize(self, tokens: np.ndarray | torch.Tensor, samples: int | None = None) -> np.ndarray:
        """Tokens [levels, frames], any number of levels, to float32 audio [samples].

        Args:
            samples: length of the recording; None: all that the frames hold, up to a hop more than was spoken.

        Raises:
            ValueError: these are no tokens.
            ModelError: there is no token model.
        """
        tokens = np.asarray(tokens)
        engine = self._token_coder(0).engine
        checked_tokens(tokens, engine.levels, engine.size)
        return np.concatenate([np.zeros(0, np.float32), *self._token_coder(len(tokens)).blocks(tokens)])[:samples]

    def write_tokens(self, tokens: np.ndarray | torch.Tensor, samples: int | None = None) -> bytes:
        """Tokens [levels, frames], whatever made them, to the bytes of a file; -1 where a frame uses fewer levels.

        Args:
            samples: length of the recording; None: all that the frames hold.

        Raises:
            ValueError: these are no tokens, or not as many frames as a recording of that length has.
            ModelError: there is no token model.
        """
        engine = self._token_coder(0).engine
        tokens = checked_tokens(np.asarray(tokens), engine.levels, engine.size)
        whole = max(tokens.shape[1] - 1, 0) * engine.hop
        return self._token_files.write(tokens, whole if samples is None else _integer("samples", samples))

    def read_tokens(self, data: bytes, lenient: bool = False) -> torch.Tensor:
        """The bytes of a file to its tokens [levels, frames], int64; -1 where a frame uses fewer levels.

        Args:
            lenient: tokens of silence where a packet is damaged or missing, instead of raising.

        Raises:
            ContainerError: the file is damaged, or holds no tokens.
            ModelError: it was made with another model.
        """
        if container.read_header(data)[0].mode is not Mode.TOKENS:
            raise ContainerError("the file holds a waveform, no tokens; tokenize what decode gives")
        header, _, packets = self._opened(data, lenient)
        return torch.from_numpy(self._token_files.read(header, packets, lenient))

    def token_bits(self, tokens: np.ndarray | torch.Tensor) -> np.ndarray:
        """Bits that each of tokens [levels, frames] costs in a file, whose packets know nothing of each other.

        Headers, checksums and flags of frames that repeat come on top.

        Raises:
            ValueError: these are no tokens.
            ModelError: there is no token model.
        """
        engine = self._token_coder(0).engine
        tokens = checked_tokens(np.asarray(tokens), engine.levels, engine.size)
        starts = range(0, tokens.shape[1], self._token_files.packet_frames)
        packets = np.split(tokens, starts[1:], axis=1)
        return np.concatenate([engine.coder.bits(packet) for packet in packets], axis=1)

    def token_encoder(self, levels: int = 0) -> TokenStreamEncoder:
        """`tokenize` for speech as it comes: `push` samples, at the end `finish`."""
        coder = self._token_coder(levels)
        return TokenStreamEncoder(coder.engine, coder.levels)

    def token_decoder(self) -> TokenStreamDecoder:
        """`detokenize` for tokens as they come: `push` tokens."""
        return TokenStreamDecoder(self._token_coder(0).engine)

    def waveform_coder(self, header: Header) -> WaveformPackets:
        """What codes the packets of a waveform file.

        Raises:
            ModelError: it was made with another model.
        """
        self._check_model("waveform", header)
        return self._waveform_files.coder(header.settings)

    def _token_coder(self, levels: int) -> TokenPackets:
        engine = self._token_engine(torch.get_num_threads())
        return TokenPackets(engine, _integer("the number of codebooks", levels) or engine.levels)

    @property
    def _waveform_files(self) -> WaveformFiles:
        model = self._model("waveform")
        return WaveformFiles(model, self._engine(torch.get_num_threads()), self.ids["waveform"][:4])

    @property
    def _token_files(self) -> TokenFiles:
        return TokenFiles(self._token_coder(0).engine, self.ids["tokens"][:4], self.sample_rate)

    def _token_blocks(self, header: Header, packets: list[Packet], lenient: bool) -> Iterator[np.ndarray]:
        return self._token_coder(0).blocks(self._token_files.read(header, packets, lenient))

    def _model(self, name: str) -> WaveformCodec | TokenCodec:
        if name not in self._models:
            raise ModelError(f"no {name} model is loaded; there is: {', '.join(self._models)}")
        return self._models[name]

    def _check_model(self, name: str, header: Header) -> None:
        self._model(name)
        own = self.ids[name][:4]
        if header.model != own:
            raise ModelError(
                f"the file was made with {name} model {header.model.hex()}, this one is {own.hex()}; give the folder of the "
                "model it was made with (--model)"
            )


def _integer(name: str, value: object) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {value!r}") from None

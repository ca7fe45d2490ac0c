"""TeluCodec's Python interface: `load`, `Codec.encode`, `Codec.decode`, and streaming.

import codec
telu = codec.load()
data = telu.encode(audio, snr=30)      # or kbps=6, or tokens=8
audio = telu.decode(data)
"""

import functools
import hashlib
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from codec import container, rate
from codec.container import ContainerError, Header, Mode
from codec.models import KINDS, Folder, ModelError
from codec.samples import checked, energy
from codec.streaming import FrameDecoder, Packet, StreamDecoder, StreamEncoder, packets_of
from codec.token_packets import TokenPackets, largest
from codec.tokens.engine import TokenEngine
from codec.tokens.model import TokenCodec
from codec.tokens.streaming import TokenStreamDecoder, TokenStreamEncoder, checked_tokens
from codec.waveform.engine import OnnxEngine
from codec.waveform.model import LAST_STEP, STEPS_PER_OCTAVE, WaveformCodec
from codec.waveform.packets import WaveformPackets

WEIGHTS = Path(__file__).parent / "weights"
PACKET_SECONDS = 2.0  # a packet decodes by itself; a longer one costs fewer bits and loses more when it is damaged
LIVE_KEY_SECONDS = 1.0
SIDE_BY_SIDE = 24  # packets that are coded at once: more is hardly faster and takes more memory
SHAPED_FLOOR = 3.0, -7.0  # log2 of the knee over the RMS: at perception 0 and what 1 adds


def load(folder: Path | str | None = None, kinds: Iterable[str] = KINDS) -> "Codec":
    """The codec that came with this package, or the models in `folder`/waveform and `folder`/tokens.

    Raises:
        ModelError: there is none of the `kinds`. One that cannot be read is told of when it is first needed.
    """
    folder = WEIGHTS if folder is None else Path(folder)
    found = [kind for kind in kinds if (folder / kind / "config.json").exists()]
    if not found:
        raise ModelError(f"no model in {folder}: {' and '.join(f'{kind}/config.json' for kind in kinds)} not there")
    ids = {name: hashlib.sha256((folder / name / "model.safetensors").read_bytes()).digest() for name in found}
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
            return self._encode_tokens(audio, tokens, kbps)
        (name, value), *_ = given.items()
        level = math.sqrt(energy(audio) / max(len(audio), 1))

        def encode_at(step: int) -> tuple[bytes, float]:
            return self._encode_waveform(audio, self._settings(step, perception, level), progress)

        if name == "step":
            return encode_at(operator.index(value))[0]
        if level == 0:
            return encode_at(0)[0]
        search = rate.Search(audio, lambda step: self._coder(self._settings(step, perception, level)))
        return search.to_snr(value, encode_at) if name == "snr" else search.to_kbps(value, encode_at)

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
        header, place = container.read_header(data)
        name = "tokens" if header.mode is Mode.TOKENS else "waveform"
        self._check_model(name, header)
        samples, packets = packets_of(header, self._model(name).config.hop, data, place, lenient)
        blocks = self._token_blocks if header.mode is Mode.TOKENS else self._waveform_blocks
        for block in blocks(header, packets, lenient) if samples else ():
            yield block[:samples].astype(np.float32)
            samples = max(samples - len(block), 0)

    def stream_encoder(self, step: int, perception: float = 0.0, level: float = 0.1) -> StreamEncoder:
        """An encoder for speech as it comes, one frame of 15 ms a packet: latency 30 ms.

        Args:
            step: as in `encode`.
            level: expected RMS of the speech; only matters with `perception`.
        """
        hop = self._model("waveform").config.hop
        settings = self._settings(step, perception, level)
        key = round(LIVE_KEY_SECONDS * self.sample_rate / hop)
        return StreamEncoder(self._coder(settings), self._header(settings, None, 1, key))

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

    def token_bits(self, tokens: np.ndarray | torch.Tensor) -> np.ndarray:
        """Bits that each of tokens [levels, frames] costs in a file, whose packets know nothing of each other.

        Headers, checksums and flags of frames that repeat come on top.

        Raises:
            ValueError: these are no tokens.
            ModelError: there is no token model.
        """
        coder = self._token_coder(0)
        tokens = checked_tokens(np.asarray(tokens), coder.engine.levels, coder.engine.size)
        starts = range(0, tokens.shape[1], self._packet_frames(coder))
        packets = np.split(tokens, starts[1:], axis=1)
        return np.concatenate([coder.engine.coder.bits(packet) for packet in packets], axis=1)

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
        return self._coder(header.settings)

    def _coder(self, settings: tuple[int, int]) -> WaveformPackets:
        return WaveformPackets(self._model("waveform"), self._engine(torch.get_num_threads()), *settings)

    def _token_coder(self, levels: int) -> TokenPackets:
        engine = self._token_engine(torch.get_num_threads())
        try:
            return TokenPackets(engine, operator.index(levels) or engine.levels)
        except TypeError:
            raise ValueError(f"the number of codebooks must be an integer, got {levels!r}") from None

    def _packet_frames(self, coder: TokenPackets) -> int:
        return round(PACKET_SECONDS * self.sample_rate / coder.hop)

    def _settings(self, step: int, perception: float, level: float) -> tuple[int, int]:
        if not 0 <= step <= LAST_STEP:
            raise ValueError(f"step must lie between 0 and {LAST_STEP}, got {step}")
        if perception == 0 or level == 0:
            return step, 0
        knee = math.log2(level) + SHAPED_FLOOR[0] + SHAPED_FLOOR[1] * perception + step / STEPS_PER_OCTAVE
        return step, round(min(max(160 - 16 * knee, 1), 255))

    def _header(self, settings: tuple[int, ...], samples: int | None, packet_frames: int, key_packets: int) -> Header:
        model = self.ids["waveform"][:4]
        return Header(Mode.WAVEFORM, model, self.sample_rate, samples, packet_frames, key_packets, settings)

    def _encode_waveform(self, audio: np.ndarray, settings: tuple[int, int], progress) -> tuple[bytes, float]:
        """The file's bytes and the squared error."""
        frames = round(PACKET_SECONDS * self.sample_rate / self._model("waveform").config.hop)
        encoder = StreamEncoder(self._coder(settings), self._header(settings, len(audio), frames, 1), SIDE_BY_SIDE)
        block = round(PACKET_SECONDS * self.sample_rate)
        parts = []
        for start in range(0, len(audio), block):
            parts.append(encoder.push(audio[start : start + block]))
            progress(min(start + block, len(audio)) / self.sample_rate)
        parts.append(encoder.finish())
        return b"".join(parts), encoder.error

    def _encode_tokens(self, audio: np.ndarray, levels: int, kbps: float | None) -> bytes:
        coder = self._token_coder(levels)
        if kbps is None:
            return self._token_file(coder, coder.codes(audio), len(audio))
        choices = coder.choices(audio)

        def encode_at(mean: float) -> bytes:
            codes = choices.codes(mean)
            if (codes >= 0).all():  # there is nothing to tell about their number
                return self._token_file(coder, codes, len(audio))
            return self._token_file(TokenPackets(coder.engine, coder.levels, max(round(mean), 1)), codes, len(audio))

        try:
            return largest(encode_at, coder.levels, kbps * 1000 / 8 * max(len(audio), 1) / self.sample_rate)
        except ValueError as error:
            raise ValueError(f"{kbps} kbps: {error}") from None

    def _token_file(self, coder: TokenPackets, codes: np.ndarray, samples: int) -> bytes:
        size, settings = self._packet_frames(coder), (coder.levels, coder.mean)
        header = Header(Mode.TOKENS, self.ids["tokens"][:4], self.sample_rate, samples, size, 1, settings)
        packets = [coder.pack(codes[:, start : start + size]) for start in range(0, codes.shape[1], size)]
        written = (container.write_packet(number, payload) for number, payload in enumerate(packets))
        return container.write_header(header) + b"".join(written)

    def _waveform_blocks(self, header: Header, packets: list[Packet], lenient: bool) -> Iterator[np.ndarray]:
        coder = self.waveform_coder(header)
        decoder = FrameDecoder(coder, header, lenient)
        for start in range(0, len(packets), SIDE_BY_SIDE):
            yield decoder.decode(*zip(*packets[start : start + SIDE_BY_SIDE], strict=True))

    def _token_blocks(self, header: Header, packets: list[Packet], lenient: bool) -> Iterator[np.ndarray]:
        try:
            coder = TokenPackets(self._token_engine(torch.get_num_threads()), *header.settings)
        except ValueError as error:
            raise ContainerError(f"the header does not fit the model: {error}") from None
        codes = []
        for _, payload, count in packets:
            try:
                found = None if payload is None else coder.unpack(payload, count)
            except ContainerError:
                if not lenient:
                    raise
                found = None
            codes.append(coder.silence(count) if found is None else found)
        if codes:
            yield from coder.blocks(np.concatenate(codes, axis=1))

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

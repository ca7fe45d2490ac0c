"""The codec: `load` and `Codec`.

import telucodec
telu = telucodec.load()
data = telu.encode(audio, snr=30)      # or kbps=6, or tokens=8
audio = telu.decode(data)
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from telucodec.audio.samples import checked
from telucodec.audio.spool import Spool
from telucodec.errors import ContainerError
from telucodec.files.header import Header, Mode, read_header
from telucodec.files.packets import Packet, packets_of
from telucodec.models import KINDS, ModelFolder, Models
from telucodec.operating_point import OperatingPoint, integer
from telucodec.tokens.engine import TokenEngine
from telucodec.tokens.files import TokenFiles
from telucodec.tokens.packets import TokenPackets
from telucodec.tokens.streaming import TokenStreamDecoder, TokenStreamEncoder, checked_tokens
from telucodec.waveform.engine import Engine, WaveformEngine
from telucodec.waveform.enhancer import EnhancerEngine
from telucodec.waveform.files import WaveformFiles
from telucodec.waveform.packets import WaveformPackets
from telucodec.waveform.stream_decoder import StreamDecoder
from telucodec.waveform.stream_encoder import StreamEncoder

SHIPPED = Path(__file__).parent / "weights"


def load(folder: Path | str | None = None, kinds: Iterable[str] = KINDS, threads: int = 1) -> "Codec":
    """The codec that came with this package, or the models in `folder`/waveform and `folder`/tokens.

    Args:
        folder: None means the shipped models.
        kinds: the models that may be used.
        threads: processor threads of the networks.

    Raises:
        ModelError: none of the `kinds` is there. A damaged one is reported when it is first needed.
    """
    return Codec(Models.below(SHIPPED if folder is None else Path(folder), tuple(kinds), threads))


class Codec:
    """Speech to `.tlc` bytes and back. Audio is mono at `sample_rate`, float32 in [-1, 1] or int16.

    Models are read when they are first needed. A codec can be copied and sent to other processes.
    """

    def __init__(self, models: Models, engine: Callable[[ModelFolder], Engine] = WaveformEngine):
        """`engine` runs the waveform codec's context network."""
        self._models, self._make_engine = models, engine

    def __reduce__(self) -> tuple:
        return Codec, (self._models, self._make_engine)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The available models: `waveform`, `tokens` or both."""
        return tuple(self._models.folders)

    @property
    def sample_rate(self) -> int:
        """Samples per second of all audio.

        Raises:
            ModelError: no model can be read.
        """
        return self._models.sample_rate

    @property
    def frame_rate(self) -> float:
        """Frames of tokens a second."""
        return self._tokens.sample_rate / self._tokens.hop

    @property
    def num_codebooks(self) -> int:
        """The number of codebooks, which is the largest number of tokens of a frame."""
        return self._tokens.num_codebooks

    @property
    def codebook_size(self) -> int:
        """The number of tokens in each codebook."""
        return self._tokens.codebook_size

    def model_id(self, kind: str) -> str:
        """The id of a model, in hexadecimal; a file's header has its first 8 digits.

        Raises:
            ModelError: there is no such model.
        """
        return self._models[kind].id.hex()

    def encode(
        self,
        audio: np.ndarray | Spool,
        *,
        snr: float | None = None,
        kbps: float | None = None,
        step: int | None = None,
        tokens: int | None = None,
        perception: float = 0.0,
        strict: bool = False,
        progress: Callable[[float], None] = lambda seconds: None,
    ) -> bytes:
        """Audio [samples] to the bytes of a file, at the operating point that the other arguments name (`OperatingPoint`).

        Args:
            audio: an array or, for recordings of hours, what `telucodec.audio.reading.spooled` returns.
            snr: signal-to-noise ratio in dB over the whole file, met within 0.1 dB.
            kbps: kbit/s of the whole file, header included, met within 2 %. With `tokens` an upper limit: frames that need
                more codebooks get more, up to that many; bits that no frame needs are not spent.
            step: quantiser step, 0 to 1023; finer by 6 dB every 64. The rate follows the speech.
            tokens: number of codebooks of every frame; 0: all.
            perception: 0: least squared error; 1: noise hidden below speech. Not for tokens.
            strict: raise where a target is out of reach for this recording. Otherwise the nearest result is returned (an
                SNR at least as high where there is one) with an `OutOfReachWarning`.
            progress: called with the seconds coded so far; a search for `snr` or `kbps` may start again.

        Raises:
            CodecError: not exactly one target, a value out of range, audio that is not finite or not one-dimensional, or
                a target out of reach and `strict`.
            ModelError: the model it needs is not there, or damaged.
        """
        point = OperatingPoint(snr=snr, kbps=kbps, step=step, tokens=tokens, perception=perception)
        audio = audio if isinstance(audio, Spool) else checked(audio)
        if point.tokens is None:
            return self._waveform_files.write(audio, point, progress, strict)
        return self._token_files.encode(audio, self._token_coder(point.tokens).num_codebooks, point.kbps, strict)

    def decode(self, data: bytes, lenient: bool = False, enhance: bool = True) -> np.ndarray:
        """The bytes of a file to float32 audio [samples]. Values may lie beyond [-1, 1] where the speech was loud.

        Args:
            lenient: where a packet is damaged or missing, conceal it (a waveform goes on for 120 ms and fades; tokens are
                silent), instead of raising.
            enhance: let a network improve the sound of a waveform file made with `perception`. Without it, the output of a
                waveform file is the same to the bit on every machine.

        Raises:
            ContainerError: the file is damaged.
            ModelError: it was made with another model, or the model it needs is not there.
        """
        samples = bytearray()  # grows in place; a list of blocks would need twice the memory to be joined
        for block in self.decode_blocks(data, lenient, enhance):
            samples += block.data
        return np.frombuffer(samples, np.float32)

    def decode_blocks(self, data: bytes, lenient: bool = False, enhance: bool = True) -> Iterator[np.ndarray]:
        """As `decode`, a stretch at a time, in bounded memory."""
        header, samples, packets = self._opened(data, lenient)
        if header.mode is Mode.TOKENS:
            blocks = self._token_coder(0).blocks(self._token_files.read(header, packets, lenient))
        else:
            blocks = self._waveform_files.read(header, packets, lenient, enhance)
        for block in blocks if samples else ():
            yield block[:samples].astype(np.float32)
            samples = max(samples - len(block), 0)

    def stream_encoder(
        self,
        step: int | None = None,
        perception: float = 0.0,
        *,
        kbps: float | None = None,
        independent: bool = False,
        dtx: bool = False,
    ) -> StreamEncoder:
        """An encoder for speech as it arrives, with a latency of 30 ms; with `perception` or `kbps`, of 45 ms.

        Args:
            step: as in `encode`.
            perception: as in `encode`.
            kbps: instead of a step, a limit in kbit/s that no second of the stream exceeds, all its bytes included. The step
                follows the speech.
            independent: every packet decodes by itself, for networks that lose packets; it costs about 1 kbit/s. Otherwise one
                packet a second does, and a lost one takes those before the next with it.
            dtx: discontinuous transmission: in pauses, `push` returns nothing but a packet every 480 ms, and the decoder makes
                comfort noise like the background. Needs `perception`.

        Raises:
            CodecError: not exactly one of `step` and `kbps`, a value out of range, or `dtx` without `perception`.
            ModelError: the waveform model is not there, or damaged.
        """
        return self._waveform_files.live(OperatingPoint(step=step, kbps=kbps, perception=perception), independent, dtx)

    def stream_decoder(self, enhance: bool = True, lenient: bool = False) -> StreamDecoder:
        """A decoder for bytes as they arrive.

        Args:
            enhance: as in `decode`.
            lenient: conceal packets that are damaged or missing, instead of raising.
        """
        return StreamDecoder(lambda header: self._stream_coder(header, enhance), lenient)

    def tokenize(self, audio: np.ndarray, num_codebooks: int = 0) -> np.ndarray:
        """Audio [samples] to tokens [num_codebooks, frames], int64: what `encode` with `tokens` puts into a file.

        Args:
            num_codebooks: 0: all.

        Raises:
            CodecError: audio that is not finite or not one-dimensional, or more codebooks than there are.
            ModelError: there is no token model, or it is damaged.
        """
        codes = self._token_coder(num_codebooks).codes(checked(np.asarray(audio)))
        return np.ascontiguousarray(codes, np.int64)

    def detokenize(self, tokens: np.ndarray, samples: int | None = None) -> np.ndarray:
        """Tokens [N, frames] of any number of codebooks to float32 audio [samples].

        Args:
            samples: length of the recording; None: all that the frames hold, up to a hop more than was spoken.

        Raises:
            CodecError: these are not tokens.
            ModelError: there is no token model, or it is damaged.
        """
        tokens = self._checked(tokens)
        return np.concatenate([np.zeros(0, np.float32), *self._token_coder(0).blocks([tokens])])[:samples]

    def write_tokens(self, tokens: np.ndarray, samples: int | None = None) -> bytes:
        """Tokens [N, frames] from any source to the bytes of a file; -1 where a frame uses fewer codebooks.

        Args:
            samples: length of the recording; None: all that the frames hold.

        Raises:
            CodecError: these are not tokens, or not as many frames as a recording of that length has.
            ModelError: there is no token model, or it is damaged.
        """
        return self._token_files.write(self._checked(tokens), None if samples is None else integer("samples", samples))

    def read_tokens(self, data: bytes, lenient: bool = False) -> np.ndarray:
        """The bytes of a file to its tokens [N, frames], int64; -1 where a frame uses fewer codebooks.

        Args:
            lenient: tokens of silence where a packet is damaged or missing, instead of raising.

        Raises:
            ContainerError: the file is damaged, or holds no tokens.
            ModelError: it was made with another model, or there is no token model.
        """
        if read_header(data)[0].mode is not Mode.TOKENS:
            raise ContainerError("the file holds a waveform, not tokens; tokenize the audio that decode returns")
        header, _, packets = self._opened(data, lenient)
        return np.concatenate(list(self._token_files.read(header, packets, lenient)), axis=1)

    def token_bits(self, tokens: np.ndarray) -> np.ndarray:
        """Bits that each of tokens [N, frames] costs in a file; headers, checksums and flags of frames that repeat come on top.

        Raises:
            CodecError: these are not tokens.
            ModelError: there is no token model, or it is damaged.
        """
        return self._token_files.bits(self._checked(tokens))

    def token_encoder(self, num_codebooks: int = 0) -> TokenStreamEncoder:
        """`tokenize` for speech as it arrives: `push` samples, then `finish`."""
        coder = self._token_coder(num_codebooks)
        return TokenStreamEncoder(coder.engine, coder.num_codebooks)

    def token_decoder(self) -> TokenStreamDecoder:
        """`detokenize` for tokens as they arrive: `push` tokens."""
        return TokenStreamDecoder(self._tokens)

    def _opened(self, data: bytes, lenient: bool) -> tuple[Header, int, list[Packet]]:
        """A file's header, its number of samples and its packets."""
        header, place = read_header(data)
        hop = self._models.that_wrote(header).shape["hop"]
        return header, *packets_of(header, hop, data, place, lenient)

    def _stream_coder(self, header: Header, enhance: bool) -> WaveformPackets:
        self._models.that_wrote(header)
        return self._waveform_files.reader(header, enhance)

    def _checked(self, tokens: np.ndarray) -> np.ndarray:
        return checked_tokens(np.asarray(tokens), self._tokens.num_codebooks, self._tokens.codebook_size)

    def _token_coder(self, num_codebooks: int) -> TokenPackets:
        """Of that many codebooks, 0: all."""
        return TokenPackets(self._tokens, integer("tokens", num_codebooks) or self._tokens.num_codebooks)

    @functools.cached_property
    def _tokens(self) -> TokenEngine:
        return TokenEngine(self._models["tokens"])

    @functools.cached_property
    def _token_files(self) -> TokenFiles:
        return TokenFiles(self._tokens, self._models["tokens"].id[:4])

    @functools.cached_property
    def _waveform_files(self) -> WaveformFiles:
        model, enhancer = self._models["waveform"], self._models.enhancer
        return WaveformFiles(self._make_engine(model), model.id[:4], EnhancerEngine(enhancer) if enhancer else None)

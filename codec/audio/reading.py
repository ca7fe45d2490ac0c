"""The one reader of recordings: any sample rate, any number of channels, bounded memory."""

import codecs
import io
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from telucodec.errors import AudioError

FULL_SCALE = 32768  # of 16-bit samples: the integer that stands for 1.0
BLOCK_SECONDS = 30
BY_SOUNDFILE = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64"}
BY_FFMPEG = {".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr"}
SUFFIXES = BY_SOUNDFILE | BY_FFMPEG

Source = Path | BinaryIO


def read(path: Path | str, rate: int) -> np.ndarray:
    """A recording, or standard input for `-`, as int16 [samples] at `rate` Hz: channels averaged, values beyond 1 clipped.

    Raises:
        AudioError: it is missing, empty, not audio, damaged, or holds values that are not finite; or it is of a format that
            needs ffmpeg where there is none.
    """
    name = "standard input" if str(path) == "-" else str(path)
    source: Source = io.BytesIO(sys.stdin.buffer.read()) if str(path) == "-" else Path(path)
    samples = bytearray()  # grows in place; a list of blocks would need twice the memory to be joined

    def take(file: soundfile.SoundFile) -> None:
        for block in _resampled(file, rate):
            if not np.isfinite(block).all():
                raise AudioError(f"{name}: holds values that are not finite", "not_finite")
            samples.extend(whole_numbers(block).tobytes())

    _with_file(source, name, take)
    return np.frombuffer(samples, np.int16)


def read_channels(path: Path) -> tuple[np.ndarray, int]:
    """A recording as float32 [frames, channels] with full scale at 1, and its sample rate in Hz.

    Raises:
        AudioError: as `read`, or it is longer than memory can hold.
    """
    blocks: list[np.ndarray] = []
    rates: list[int] = []

    def take(file: soundfile.SoundFile) -> None:
        # Block by block: a damaged header may promise more frames than memory could hold.
        blocks.extend(block.copy() for block in _blocks(file))
        blocks.append(np.zeros((0, file.channels), np.float32))
        rates.append(file.samplerate)

    try:
        _with_file(path, str(path), take)
        return np.concatenate(blocks), rates[0]
    except MemoryError:
        message = f"{path}: longer than memory can hold; cut it into shorter recordings"
        raise AudioError(message, "too_long") from None


def whole_numbers(block: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as int16; values beyond are clipped."""
    return np.round(np.clip(block, -1, 1 - 1 / FULL_SCALE) * FULL_SCALE).astype(np.int16)


def _with_file(source: Source, name: str, take: Callable[[soundfile.SoundFile], None]) -> None:
    """Open a recording for `take`; every failure becomes an AudioError that names the recording."""
    head = _head(source, name)
    if isinstance(source, Path) and source.suffix.lower() in BY_FFMPEG:
        source = _through_ffmpeg(source)
    try:
        with soundfile.SoundFile(source) as file:
            take(file)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        if _is_text(head):
            shown = head[:40].decode("utf-8", "ignore")
            raise AudioError(f"{name}: text, not audio: {shown!r}", "not_audio") from None
        cause = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
        message = f"{name}: not an audio format that libsndfile knows, or damaged ({cause.rstrip('.')})"
        raise AudioError(message) from None


def _head(source: Source, name: str) -> bytes:
    """The first bytes of a source; refuses what can be recognised without decoding."""
    if not isinstance(source, Path):
        head = source.read(512)
        source.seek(0)
    else:
        try:
            mode = source.stat().st_mode
            if stat.S_ISDIR(mode):
                raise AudioError(f"{name}: a folder, not a recording")
            if not stat.S_ISREG(mode):  # to open a named pipe would wait for ever
                raise AudioError(f"{name}: not a regular file; pipe it into standard input (-)")
            with source.open("rb") as file:
                head = file.read(512)
        except FileNotFoundError:
            raise AudioError(f"{name}: no such file") from None
        except OSError as error:
            raise AudioError(f"{name}: {error.strerror or error}") from None
    if not head:
        raise AudioError(f"{name}: zero bytes", "empty")
    if head.startswith(b"version https://git-lfs"):
        raise AudioError(f"{name}: a Git LFS pointer, not the recording; fetch it with `git lfs pull`", "pointer")
    return head


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the end of head may lie within a character
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head


def _through_ffmpeg(path: Path) -> BinaryIO:
    """A recording that libsndfile cannot read, as a WAV file in memory."""
    from pydub import AudioSegment
    from pydub.exceptions import CouldntDecodeError

    wav = io.BytesIO()
    try:
        AudioSegment.from_file(path).export(wav, format="wav")
    except FileNotFoundError:  # of ffprobe or ffmpeg
        raise AudioError(
            f"{path}: {path.suffix} files are read with ffmpeg, which is not installed "
            "(apt install ffmpeg, brew install ffmpeg or winget install ffmpeg)",
            "needs_ffmpeg",
        ) from None
    except IndexError:  # pydub takes the first audio track without asking whether there is one
        raise AudioError(f"{path}: holds no audio track", "not_audio") from None
    except (CouldntDecodeError, OSError, KeyError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        cause = lines[-1].removeprefix(f"{path}: ")[:120]
        raise AudioError(f"{path}: ffmpeg cannot decode it ({cause})") from None
    wav.seek(0)
    return wav


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    yield from file.blocks(BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True)


def _resampled(file: soundfile.SoundFile, rate: int) -> Iterator[np.ndarray]:
    import soxr

    stream = soxr.ResampleStream(file.samplerate, rate, 1, dtype="float32", quality="HQ")
    for block in _blocks(file):
        mono = np.ascontiguousarray(block.mean(axis=1))
        yield mono if file.samplerate == rate else stream.resample_chunk(mono)
    if file.samplerate != rate:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

"""Recordings in, WAV out: any sample rate, any number of channels, bounded memory."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

BLOCK_SECONDS = 30
BY_SOUNDFILE = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64"}
BY_FFMPEG = {".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr"}
SUFFIXES = BY_SOUNDFILE | BY_FFMPEG


class AudioError(ValueError):
    """A recording that cannot be read or written; the message names it and says why."""


def read(path: Path | str, rate: int) -> np.ndarray:
    """A recording, or standard input for `-`, as int16 [samples] at `rate` Hz: channels averaged, values beyond 1 clipped.

    Raises:
        AudioError: it is missing, empty, no sound file, or holds values that are not finite.
    """
    import io

    import soundfile

    source = io.BytesIO(sys.stdin.buffer.read()) if str(path) == "-" else Path(path)
    name = "standard input" if str(path) == "-" else str(path)
    if isinstance(source, Path) and source.suffix.lower() in BY_FFMPEG:
        source = _through_ffmpeg(source)
    try:
        with soundfile.SoundFile(source) as file:
            samples = bytearray()  # grows in place; a list of blocks would be there twice while it is joined
            for block in _resampled(file, rate):
                samples += _whole_numbers(block, name).tobytes()
    except (soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{name}: {_missing(source) or reason}") from None
    return np.frombuffer(samples, np.int16)


def _missing(source) -> str | None:
    """What libsndfile calls a "System error"."""
    if isinstance(source, Path) and not source.exists():
        return "no such file"
    return "a folder, not a recording" if isinstance(source, Path) and source.is_dir() else None


def _through_ffmpeg(path: Path):
    import io

    from pydub import AudioSegment
    from pydub.exceptions import CouldntDecodeError

    try:
        wav = io.BytesIO()
        AudioSegment.from_file(path).export(wav, format="wav")
    except FileNotFoundError:
        missing = (
            f"{path}: no such file"
            if not path.exists()
            else f"{path}: {path.suffix} needs ffmpeg, which is not installed"
        )
        raise AudioError(missing) from None
    except (CouldntDecodeError, IndexError, KeyError):  # pydub looks neither for an audio track nor at what it is
        raise AudioError(f"{path}: ffmpeg cannot decode it") from None
    wav.seek(0)
    return wav


def _resampled(file, rate: int) -> Iterator[np.ndarray]:
    import soxr

    stream = soxr.ResampleStream(file.samplerate, rate, 1, dtype="float32", quality="HQ")
    for block in file.blocks(BLOCK_SECONDS * file.samplerate, dtype="float32", always_2d=True):
        mono = np.ascontiguousarray(block.mean(axis=1))
        yield mono if file.samplerate == rate else stream.resample_chunk(mono)
    if file.samplerate != rate:
        yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _whole_numbers(block: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(block).all():
        raise AudioError(f"{name}: holds values that are not finite")
    return np.round(np.clip(block, -1, 32767 / 32768) * 32768).astype(np.int16)


def write_wav(path: Path | str, blocks: Iterator[np.ndarray], rate: int) -> None:
    """Float blocks [samples] as a 16-bit WAV file at `path` or, for `-`, on standard output."""
    import soundfile

    def write(target) -> None:
        with soundfile.SoundFile(target, "w", rate, 1, "PCM_16", format="WAV") as file:
            for block in blocks:
                file.write(np.round(np.clip(block, -1, 32767 / 32768) * 32768).astype(np.int16))

    try:
        if str(path) == "-" or is_special(path):
            # A WAV header needs a file in which one can go back.
            with tempfile.NamedTemporaryFile(suffix=".wav") as spool:
                write(spool.name)
                with contextlib.nullcontext(sys.stdout.buffer) if str(path) == "-" else open(path, "wb") as sink:
                    shutil.copyfileobj(spool, sink)
                    sink.flush()
        else:
            with whole_file(Path(path)) as temporary:
                write(str(temporary))
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: cannot be written ({error.error_string.rstrip('.')}); is the disk full?") from None


def is_special(path: Path | str) -> bool:
    """Whether a device or a pipe lies there, which is written to and never replaced by a file."""
    return Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the place of `path` if the block ends without an exception."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

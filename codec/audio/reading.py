"""The one reader of recordings: any kind, rate and number of channels, looked at by content, in pieces, lengths counted."""

import contextlib
import io
import stat
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from telucodec.audio import endings, flac, headers
from telucodec.audio.decoders import Recording, Undecodable, by_ffmpeg, by_libsndfile
from telucodec.audio.mixing import Levels, mono
from telucodec.audio.samples import FULL_SCALE, whole_numbers
from telucodec.audio.spool import Spool
from telucodec.errors import AudioError, AudioWarning

# Hz; a rate beyond is a damaged header, and resampling it could fill the memory.
LOWEST_RATE, HIGHEST_RATE = 1000, 1_000_000
WRONG_SCALE = 8.0  # samples that reach this far are integers, saved as floating-point numbers
LOUD = 1.25  # samples that reach this far are clipped with a warning; decoders of lossy formats overshoot by less
PROMISED_SHARE, PROMISED_SECONDS = 0.99, 0.1  # what may be missing of a promised length: encoders round and pad

Source = Path | BinaryIO


@dataclass
class Sound:
    """A recording as int16 [samples], and sentences on what is wrong with it or was done to it.

    Attributes:
        fault: set if it is incomplete or partly damaged; one of `notes` says how.
    """

    samples: np.ndarray
    notes: list[str]
    fault: str | None


def read(source: Source, rate: int, name: str = "") -> np.ndarray:
    """A recording as int16 [samples] at `rate` Hz: channels averaged, values beyond 1 clipped.

    An `AudioWarning` says what was done otherwise. A recording that ends early or is partly damaged is read as far as it goes.
    Of channels that cancel each other, or of which one is dead, the strongest is taken.

    Args:
        source: a file, or an open one that is read from its beginning.
        name: of the recording, for messages; by default its path.

    Raises:
        AudioError: it is missing, empty, not audio, damaged, of an unknown format, or holds values that are not finite or
            far outside of [-1, 1].
    """
    sound = read_with_notes(source, rate, name)
    _warn(sound.notes)
    return sound.samples


def spooled(source: Source, rate: int, name: str = "") -> Spool:
    """As `read`, in a file if the recording is long."""
    spool = Spool()
    _warn(_read_into(spool.append, source, rate, name)[0])
    return spool


def read_with_notes(source: Source, rate: int, name: str = "") -> Sound:
    """As `read`, without warnings."""
    samples = bytearray()  # grows in place; a list of blocks would need twice the memory to be joined
    notes, fault = _read_into(lambda block: samples.extend(block.tobytes()), source, rate, name)
    return Sound(np.frombuffer(samples, np.int16), notes, fault)


def _read_into(
    append: Callable[[np.ndarray], None], source: Source, rate: int, name: str
) -> tuple[list[str], str | None]:
    """Read a recording block by block; returns its notes and its fault, as in `Sound`."""
    channel, peak = None, 0.0
    with opened(source, name) as recording:
        notes = [recording.note] if recording.note else []
        if recording.channels > 1:
            levels = Levels(recording.channels, recording.rate)
            for block in recording.blocks:
                levels.add(block)
            channel = levels.channel()
    if channel is not None:
        notes.append(f"channel {channel + 1} of {recording.channels} is taken: the mean of all would lose the speech")
    with opened(source, name) as recording:
        for block in resampled(recording, rate, channel):
            peak = max(peak, float(np.abs(block).max(initial=0)))
            append(whole_numbers(block))
    if peak > LOUD:
        notes.append(f"reaches {peak:.2f} of full scale and is clipped")
    if recording.fault:
        notes.append(recording.fault[1])
    return notes, recording.fault and recording.fault[0]


def _warn(notes: list[str]) -> None:
    for note in notes:
        warnings.warn(note, AudioWarning, stacklevel=3)


def resampled(recording: Recording, rate: int, channel: int | None) -> Iterator[np.ndarray]:
    """Blocks float32 [samples] at `rate` Hz of one channel of a recording, or of the mean of all channels."""
    import soxr

    if recording.rate == rate:
        yield from (mono(block, channel) for block in recording.blocks)
        return
    stream = soxr.ResampleStream(recording.rate, rate, 1, dtype="float32", quality="HQ")
    for block in recording.blocks:
        yield stream.resample_chunk(mono(block, channel))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


@contextlib.contextmanager
def opened(source: Source, name: str = "") -> Iterator[Recording]:
    """A recording, to be read once in blocks float32 [frames, channels] with full scale at 1.

    Raises:
        AudioError: as `read`, here or while its blocks are read.
    """
    name = name or str(source)
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(_open(source)) if isinstance(source, Path) else source
            file = headers.without_tags(file)
            size, head = file.seek(0, io.SEEK_END), _head(file)
            recording = _recording(file, size, head)
            if not LOWEST_RATE <= recording.rate <= HIGHEST_RATE:
                raise AudioError(f"a sample rate of {recording.rate} Hz; is its header damaged?")
            recording.blocks = _checked(recording, _decoded(recording, recording.blocks, file))
            yield recording
    except Undecodable as error:
        cause = f"not a format that libsndfile or ffmpeg knows, or damaged ({error})"
        raise AudioError(f"{name}: {cause}; if a player plays it, convert it to WAV or FLAC") from None
    except AudioError as error:
        message = str(error) if str(error).startswith(f"{name}: ") else f"{name}: {error}"
        raise AudioError(message, error.reason) from None


def _open(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError("a folder, not a recording")
        if not stat.S_ISREG(mode):  # to open a named pipe would wait for ever
            raise AudioError("not a regular file; pipe it into standard input (-)")
        return path.open("rb")
    except FileNotFoundError:
        raise AudioError("no such file") from None
    except OSError as error:
        raise AudioError(error.strerror or str(error)) from None


def _head(file: BinaryIO) -> bytes:
    """The first bytes; refuses what can be recognised without decoding."""
    file.seek(0)
    head = file.read(headers.HEAD)
    if not head:
        raise AudioError("zero bytes", "empty")
    if other := headers.other_kind(head):
        raise AudioError(*other)
    if headers.is_text(head):
        raise AudioError(f"text, not audio: {head[:40].decode('utf-8', 'ignore')!r}", "not_audio")
    return head


def _recording(file: BinaryIO, size: int, head: bytes) -> Recording:
    """The recording as the decoder gives it that reads it rightly."""
    extent = headers.extent(file, size)
    if extent and extent.others:
        raise AudioError(f"{extent.others + 1} recordings joined into one file; split it before each header", "joined")
    is_wav = head.startswith((b"RIFF", b"RIFX")) and head[8:12] == b"WAVE"
    if extent and extent.present > extent.promised:
        recording = by_ffmpeg(file, ignore_length=True) if is_wav else by_libsndfile(file, extent.corrections)
        recording.promised = None
        return recording
    if is_wav and extent is None:
        return by_libsndfile(file)  # ffmpeg takes any length of a chunk before the samples for memory to allocate
    is_longer = head.startswith(b"fLaC") and flac.has_more(file, size)
    if not is_longer and not headers.is_for_ffmpeg(head):
        with contextlib.suppress(Undecodable):
            recording = by_libsndfile(file, extent.corrections if extent else {})
            if extent and recording.container == "rf64" and recording.promised:
                recording.promised *= extent.promised / max(extent.present, 1)
            if frames := headers.sphere_frames(head):
                recording.promised = frames / recording.rate
            if extent and extent.present < extent.promised and recording.promised == 0:
                recording.fault = "truncated", "ends with its header; copy it again"
            return recording
    if headers.has_another_beginning(file):
        raise AudioError("several recordings joined into one file; split it before each header", "joined")
    if head[4:8] == b"ftyp":
        _check_boxes(endings.boxes(file, size))
    if head.startswith(headers.ASF) and endings.is_protected_asf(file):
        raise AudioError(*headers.ENCRYPTED)
    is_cut = extent.present < extent.promised if extent else endings.is_cut(file, size, head)
    recording = by_ffmpeg(file)
    if is_longer:
        recording.promised = None
    if is_cut:
        recording.fault = "truncated", "its last part is incomplete; copy it again"
        if recording.container == "asf":  # of which ffmpeg then guesses the length
            recording.promised = None
    return recording


def _check_boxes(boxes: endings.Boxes) -> None:
    """Raise if an MP4 file of these outermost boxes is not one whole recording that anybody may hear."""
    names = boxes.names
    if boxes.is_protected:
        raise AudioError(*headers.ENCRYPTED)
    if names.count(b"ftyp") > 1:
        raise AudioError("several MP4 files joined into one; split it before each `ftyp`", "joined")
    if not {b"moov", b"meta"} & set(names):
        raise AudioError("its index is missing, so it was cut or never finished; copy it again", "truncated")


def _decoded(recording: Recording, blocks: Iterator[np.ndarray], file: BinaryIO) -> Iterator[np.ndarray]:
    """The blocks. What libsndfile gives up in the middle, as a FLAC file that ends early, ffmpeg reads to its end."""
    frames = 0
    try:
        for block in blocks:
            yield block
            frames += len(block)
    except Undecodable as error:
        rest = by_ffmpeg(file)
        if (rest.rate, rest.channels) != (recording.rate, recording.channels):  # so the header is damaged
            raise
        for block in rest.blocks:
            if len(block) > frames:
                yield block[frames:]
            frames = max(0, frames - len(block))
        recording.fault = "damaged", f"damaged ({error})"


def _scale(peak: float) -> int:
    """Full scale of the integers of 16, 24 or 32 bits that samples seem to be."""
    return next((scale for scale in (FULL_SCALE, 1 << 23) if peak <= scale), 1 << 31)


def _checked(recording: Recording, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The blocks, if their values can be audio; sets the fault if there are fewer than promised."""
    for block in blocks:
        recording.frames += len(block)
        peak = max(float(block.max()), -float(block.min()))
        if not np.isfinite(peak):
            raise AudioError("holds values that are not finite", "not_finite")
        if peak > WRONG_SCALE and not recording.floating:
            raise AudioError(f"damaged: samples reach {peak:.6g} times full scale; copy it again")
        if peak > WRONG_SCALE:
            message = f"samples reach {peak:.6g}, but full scale of floating-point samples is 1; divide them by {_scale(peak)}"
            raise AudioError(message, "wrong_scale")
        recording.peak = max(recording.peak, peak)
        yield block
    seconds = recording.frames / recording.rate
    covered = seconds + recording.skipped
    if recording.promised is not None and covered < PROMISED_SHARE * recording.promised - PROMISED_SECONDS:
        words = (
            f"ends early: its header promises {recording.promised:.1f} s, and {seconds:.1f} s are there; copy it again"
        )
        recording.fault = "truncated", words

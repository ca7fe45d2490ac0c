"""The two decoders of recordings: libsndfile where it is right, else ffmpeg's libraries, which PyAV brings along.

libsndfile believes headers: of an MP3 file without a Xing header it returns too much or too little, of joined Ogg files only the
first, and it cannot read FLAC of unknown length. It checks the checksums of FLAC, which ffmpeg does not. ffmpeg makes noise of
some kinds of ADPCM, and loses the end of ALAC in CAF as others than itself write it.
"""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import soundfile

from telucodec.audio import headers
from telucodec.audio.losses import Losses
from telucodec.errors import AudioError

BLOCK = 1 << 20  # samples of all channels that are held at a time
# What libsndfile reads rightly.
EXACT = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"}
EXACT |= {"G721_32", "G723_24", "G723_40", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"}
EXACT |= {"ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32"}
CUT = re.compile(r"^ *(?:data|riff|SSND|Data Size) *: (\d+) \(should be (\d+)\)$", re.MULTILINE)  # in libsndfile's log
DEMUXERS = (  # ffmpeg has others, which open more files or network addresses that a file names
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,caf,dsf,dts,eac3,flac,flv,gsm,iff,ircam,mlp,matroska,webm,mov,mp4,mp3,mpc,mpc8,mpeg,"
    "mpegts,nistsphere,ogg,oma,qcp,rm,shn,tak,truehd,tta,voc,w64,wav,wv,avi"
)
# For others ffmpeg guesses a length from the bit rate.
STATES_LENGTH = {"mov", "matroska", "flac", "asf", "tta", "wv", "ape"}
NEEDS_PYAV = "libsndfile cannot read it reliably; for MP3, Ogg, M4A and others: pip install 'telucodec[formats]'"
SAMPLES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}  # of ffmpeg's kinds


@dataclass
class Recording:
    """An open recording. `blocks` can be read once; `frames`, `peak` and `fault` are known after that.

    Attributes:
        container: what it is, such as `wav` or `matroska`.
        promised: seconds that its header promises; None if it promises none.
        frames: counted while they are read.
        peak: largest magnitude of a sample so far.
        fault: a short name and a sentence if the recording is incomplete or partly damaged.
        skipped: seconds that its time stamps leave out.
        note: a sentence if the file holds more than the recording.
        floating: its samples are stored as floating-point numbers, of which one cannot know the scale.
    """

    container: str
    rate: int
    channels: int
    promised: float | None
    blocks: Iterator[np.ndarray] = field(repr=False)
    frames: int = 0
    peak: float = 0.0
    fault: tuple[str, str] | None = None
    skipped: float = 0.0
    note: str | None = None
    floating: bool = False


class Corrected:
    """A file for libsndfile, which follows damaged headers to places before the beginning, with some bytes replaced."""

    def __init__(self, file: BinaryIO, corrections: dict[int, bytes]):
        self.read, self.tell, self._file, self._corrections = file.read, file.tell, file, corrections

    def readinto(self, buffer: memoryview) -> int:
        start = self._file.tell()
        count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        for place, content in self._corrections.items():
            for at, byte in enumerate(content, place - start):
                if 0 <= at < count:
                    memoryview(buffer).cast("B")[at] = byte
        return count

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._file.seek(0, io.SEEK_END)}[whence]
        return self._file.seek(max(0, base + place))


class Searched:
    """A file for ffmpeg, which follows damaged headers to places that no file has; PyAV would print the exceptions."""

    def __init__(self, file: BinaryIO):
        self.read, self.tell, self._file = file.read, file.tell, file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        place += {io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._size}.get(whence, 0)
        if place < 0:
            return -1
        self._file.seek(min(place, self._size))  # beyond it, there is nothing to read either
        return place


class Undecodable(Exception):
    """A decoder does not know the format, or finds it damaged; the message has the decoder's words."""


def by_libsndfile(file: BinaryIO, corrections: dict[int, bytes] | None = None) -> Recording:
    """A recording of samples without compression, or compressed in a way that libsndfile reads rightly.

    Args:
        corrections: bytes that belong to places in the header.

    Raises:
        Undecodable: libsndfile cannot read it, or not reliably.
    """
    file.seek(0)
    try:
        descriptor = None if corrections else _descriptor(file)
        sound = soundfile.SoundFile(Corrected(file, corrections or {}) if descriptor is None else descriptor)
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError) as error:
        raise Undecodable(_words(error)) from None
    is_flac = sound.format == "FLAC"
    if sound.subtype not in EXACT or sound.format == "OGG" or (is_flac and sound.frames > 1 << 48):
        raise Undecodable(f"libsndfile does not read {sound.subtype} in {sound.format} reliably")
    cut = CUT.search(sound.extra_info)
    promised = sound.frames / sound.samplerate
    if cut and 0 < int(cut[2]) < int(cut[1]) < headers.UNKNOWN_SIZE:
        promised *= int(cut[1]) / int(cut[2])
    recording = Recording(sound.format.lower(), sound.samplerate, sound.channels, promised, iter(()))
    recording.floating = sound.subtype in ("FLOAT", "DOUBLE")
    recording.blocks = _libsndfile_blocks(sound, file, descriptor)
    return recording


def _descriptor(file: BinaryIO) -> int | None:
    """The file on disk, opened again for libsndfile, which then reads without calls of Python; None if it is another file."""
    is_on_disk = isinstance(file, io.BufferedReader) and isinstance(file.raw, io.FileIO)
    if os.name != "posix" or not is_on_disk or isinstance(file.name, int):
        return None
    return os.open(file.name, os.O_RDONLY)


def _libsndfile_blocks(sound: soundfile.SoundFile, file: BinaryIO, descriptor: int | None) -> Iterator[np.ndarray]:
    frames = max(1, BLOCK // sound.channels)
    with sound:
        try:
            while len(block := sound.read(frames, dtype="float32", always_2d=True)):
                yield block
        except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError) as error:
            raise Undecodable(_words(error)) from None
        read = file.tell() if descriptor is None else os.lseek(descriptor, 0, os.SEEK_CUR)
        if sound.format == "FLAC" and headers.has_another_beginning(file, read):
            raise AudioError("several FLAC recordings joined into one file; split it at each `fLaC`", "joined")


def _words(error: Exception) -> str:
    return (getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)).rstrip(".")


def by_ffmpeg(file: BinaryIO, ignore_length: bool = False) -> Recording:
    """A recording of any kind: the audio track that its file marks as the default, or else the first.

    Args:
        ignore_length: read a WAV file to its end, whatever its header says.

    Raises:
        AudioError: it holds no audio track, or PyAV is not installed.
        Undecodable: ffmpeg does not know the format.
    """
    try:
        import av  # takes 0.1 s, which plain WAV need not wait for
    except ImportError:
        raise AudioError(NEEDS_PYAV, "needs_pyav") from None
    frames = headers.mp3_frames(file)
    file.seek(0)
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
    try:
        container = av.open(
            Searched(file),
            options=options | ({"ignore_length": "1"} if ignore_length else {}),
            metadata_errors="replace",
        )
    except (av.FFmpegError, ValueError, OSError) as error:
        raise Undecodable(_ffmpeg_words(error)) from None
    if not container.streams.audio:
        others = sorted({stream.type for stream in container.streams})
        raise AudioError(f"holds no audio track, only {', '.join(others) or 'nothing'}", "not_audio")
    known = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not known:
        raise Undecodable("compressed in a way that ffmpeg does not know")
    stream = next((stream for stream in known if stream.disposition & av.stream.Disposition.default), known[0])
    if "enc_key_id" in stream.metadata:  # of Matroska
        raise AudioError(*headers.ENCRYPTED)
    if not (stream.rate and stream.channels):
        raise Undecodable("its header has no sample rate or no channels")
    kind = container.format.name.split(",")[0]
    if kind == "wav" and stream.codec.canonical_name == "aac" and stream.codec_context.extradata:
        raise AudioError(
            "AAC in WAV without frames' lengths, which no decoder can read; take the file it was made from"
        )
    recording = Recording(kind, stream.rate, stream.channels, _promised(container, stream, kind, frames), iter(()))
    recording.floating = stream.codec.name.startswith(("pcm_f", "wavpack"))
    recording.blocks = _ffmpeg_blocks(container, stream, recording)
    tracks = container.streams.audio
    if len(tracks) > 1:
        recording.note = f"audio track {tracks.index(stream) + 1} of {len(tracks)} is taken; the file holds others"
    return recording


def _promised(container: Any, stream: Any, kind: str, mp3_frames: int | None) -> float | None:
    """The length in the header, in seconds; None where ffmpeg's length is its own guess, or that of a film's pictures."""
    import av

    if kind == "caf" and stream.codec.name.startswith("pcm"):
        return stream.frames / stream.rate if stream.frames else None
    if kind == "mp3" and mp3_frames is not None:
        # Where anything follows the last frame, ffmpeg estimates the length from the size of the file.
        longest = mp3_frames * (1152 if stream.rate >= 32000 else 576) / stream.rate
        return longest if stream.duration is None else min(longest, float(stream.duration * stream.time_base))
    if kind not in STATES_LENGTH:
        return None
    if kind != "asf" and stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    film = any(not other.disposition & av.stream.Disposition.attached_pic for other in container.streams.video)
    if container.duration is None or film:
        return None
    begins = max(stream.start_time or 0, 0) * stream.time_base
    return container.duration / av.time_base - float(begins)


def _ffmpeg_blocks(container: Any, stream: Any, recording: Recording) -> Iterator[np.ndarray]:
    """Blocks of about `BLOCK` samples. Packets that cannot be decoded are left out and counted."""
    import av

    packets = damaged = frames = count = 0
    held: list[np.ndarray] = []
    last = ""  # what is wrong with the last packet
    losses = Losses(stream.codec.canonical_name)
    padding = 8 if recording.container == "w64" else 0  # bytes to which ffmpeg fills its chunks, and counts that
    demuxed = container.demux(stream)
    while True:
        packet = None
        try:
            packet = next(demuxed, None)
            if packet is None:
                break
            packets += packet.size > 0
            if packet.size:
                losses.add_packet(memoryview(packet))
            decoded = packet.decode()
            last = "" if packet.size else last  # ffmpeg ends with an empty packet
        except av.PatchWelcomeError as error:
            if not frames + count:
                raise Undecodable(_ffmpeg_words(error)) from None
            raise AudioError(
                f"changes its format on the way; split it there ({_ffmpeg_words(error)})", "joined"
            ) from None
        except av.FFmpegError as error:
            if packet is not None and packet.size < padding:
                continue
            damaged, last = damaged + 1, _ffmpeg_words(error)
            if packet is None:  # it cannot be divided into packets any more
                break
            continue
        for frame in decoded:
            held.append(_samples(frame, recording))
            losses.add_frame(frame.time, len(held[-1]) / recording.rate)
            count += held[-1].size
        if count >= BLOCK:
            yield np.concatenate(held)
            held, frames, count = [], frames + count, 0
    if held:
        yield np.concatenate(held)
    if not frames + count:
        raise Undecodable(last or "no samples")
    if last and recording.container != "mp3":  # whose end often holds tags
        recording.fault = "truncated", f"its last packet is incomplete ({last})"
    elif damaged > max(1, packets // 100):
        recording.fault = "damaged", f"{damaged} of its {packets} packets cannot be decoded"
    else:
        seconds = (frames + count) / recording.channels / recording.rate
        recording.skipped = losses.skipped
        recording.fault = losses.fault(seconds, recording.promised is not None) or recording.fault


def _samples(frame: Any, recording: Recording) -> np.ndarray:
    """A frame as float32 [frames, channels] with full scale at 1."""
    channels, rate = frame.layout.nb_channels, frame.sample_rate
    if (channels, rate) != (recording.channels, recording.rate):
        raise AudioError(
            f"changes from {recording.rate} Hz and {recording.channels} channels to {rate} Hz and {channels} on the way; "
            "split it there",
            "joined",
        )
    dtype, is_planar = np.dtype(SAMPLES[frame.format.name.removesuffix("p")]), frame.format.is_planar
    # PyAV's own `to_ndarray` does not know int64, and reads foreign memory where eight channels or more have a plane each.
    planes = frame.planes[: channels if is_planar else 1]
    count = frame.samples * channels // len(planes)
    values = np.stack([np.frombuffer(plane, dtype, count) for plane in planes], axis=1)
    values = values if is_planar else values.reshape(-1, channels)
    if dtype.kind == "f":
        return np.asarray(values, np.float32)
    scale = 1 << (8 * dtype.itemsize - 1)
    return ((values.astype(np.float64) - (scale if dtype.kind == "u" else 0)) / scale).astype(np.float32)


def _ffmpeg_words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)

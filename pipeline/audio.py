"""Reading a recording of any format, with a plain reason where that is impossible."""

import shutil
from pathlib import Path

import numpy as np
import soundfile

BY_SOUNDFILE = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64"}
BY_FFMPEG = {".m4a", ".mp4", ".aac", ".webm", ".wma"}
SUFFIXES = BY_SOUNDFILE | BY_FFMPEG


class AudioError(Exception):
    """A file that holds no readable audio: `reason` is a short name to count by, `detail` says more in plain words."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def read(path: Path) -> tuple[np.ndarray, int]:
    """Decode a whole recording.

    Returns:
        Samples [frames, channels], float32 with full scale at 1, and the sample rate in Hz.

    Raises:
        AudioError: the file is empty, no audio, damaged, or of a format that needs ffmpeg where there is none.
    """
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise AudioError("unreadable", error.strerror or str(error)) from None
    if not head:
        raise AudioError("empty", "zero bytes")
    if head.startswith(b"version https://git-lfs"):
        raise AudioError("pointer", "a Git LFS pointer, not the recording; fetch it with `git lfs pull`")
    return _by_ffmpeg(path) if path.suffix.lower() in BY_FFMPEG else _by_soundfile(path, head)


def _by_soundfile(path: Path, head: bytes) -> tuple[np.ndarray, int]:
    try:
        # An open file, not the name: libsndfile gets non-ASCII names wrong on some systems.
        with path.open("rb") as file:
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        if _is_text(head):
            raise AudioError("not_audio", f"text, not audio: {head[:40].decode('utf-8', 'replace')!r}") from None
        raise AudioError("unreadable", f"no audio format that libsndfile knows, or a damaged header ({error})") from None
    return samples, rate


def _by_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        raise AudioError("needs_ffmpeg", f"{path.suffix} files are read with ffmpeg, which is not installed")
    from pydub import AudioSegment  # only here: it costs time to import, and few corpora need it
    from pydub.exceptions import CouldntDecodeError

    try:
        segment = AudioSegment.from_file(path)
    except (CouldntDecodeError, OSError, IndexError, KeyError) as error:
        raise AudioError("unreadable", f"ffmpeg cannot decode it ({str(error).splitlines()[0][:120]})") from None
    full_scale = float(1 << (8 * segment.sample_width - 1))  # ffmpeg's sample width differs between formats
    samples = np.array(segment.get_array_of_samples(), dtype=np.float32) / full_scale
    return samples.reshape(-1, segment.channels), segment.frame_rate


def _is_text(head: bytes) -> bool:
    try:
        return head.decode("utf-8").isprintable() or b"\x00" not in head
    except UnicodeDecodeError:
        return False

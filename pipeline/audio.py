"""Reading a recording of any format, with a plain reason where that is impossible."""

import codecs
import shutil
import stat
from pathlib import Path

import numpy as np
import soundfile

from codec.audio_files import BY_FFMPEG

PIECE = 1 << 22  # frames


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
        str(path).encode()
    except UnicodeEncodeError:
        raise AudioError("name_not_utf8", "its name is not UTF-8, as the manifest needs; rename it") from None
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would wait for ever
            raise AudioError("unreadable", "not a regular file")
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise AudioError("unreadable", error.strerror or str(error)) from None
    if not head:
        raise AudioError("empty", "zero bytes")
    if head.startswith(b"version https://git-lfs"):
        raise AudioError("pointer", "a Git LFS pointer, not the recording; fetch it with `git lfs pull`")
    try:
        return _by_ffmpeg(path) if path.suffix.lower() in BY_FFMPEG else _by_soundfile(path, head)
    except MemoryError:
        raise AudioError("too_long", "longer than memory can hold; cut it into shorter recordings") from None


def _by_soundfile(path: Path, head: bytes) -> tuple[np.ndarray, int]:
    try:
        with soundfile.SoundFile(path) as file:
            # Piece by piece: a damaged header may promise more frames than memory could hold.
            pieces = [file.read(PIECE, dtype="float32", always_2d=True)]
            while len(pieces[-1]) == PIECE:
                pieces.append(file.read(PIECE, dtype="float32", always_2d=True))
            rate = file.samplerate
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        if _is_text(head):
            raise AudioError("not_audio", f"text, not audio: {head[:40].decode('utf-8', 'ignore')!r}") from None
        cause = getattr(error, "error_string", str(error)).rstrip(".")  # without the name of our open file
        raise AudioError("unreadable", f"no audio format that libsndfile knows, or damaged ({cause})") from None
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces), rate


def _by_ffmpeg(path: Path) -> tuple[np.ndarray, int]:
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        raise AudioError(
            "needs_ffmpeg",
            f"{path.suffix} files are read with ffmpeg, which is not installed "
            "(apt install ffmpeg, brew install ffmpeg or winget install ffmpeg)",
        )
    from pydub import AudioSegment  # only here: it costs time to import, and few corpora need it
    from pydub.exceptions import CouldntDecodeError

    try:
        segment = AudioSegment.from_file(path)
        samples = np.array(segment.get_array_of_samples(), dtype=np.float32)
    except IndexError:  # pydub takes the first audio track without asking whether there is one
        raise AudioError("not_audio", "holds no audio track") from None
    except (CouldntDecodeError, OSError, KeyError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        cause = lines[-1].removeprefix(f"{path}: ")[:120]
        raise AudioError("unreadable", f"ffmpeg cannot decode it ({cause})") from None
    full_scale = float(1 << (8 * segment.sample_width - 1))  # ffmpeg's sample width differs between formats
    return (samples / full_scale).reshape(-1, segment.channels), segment.frame_rate


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the end of head may lie within a character
    except UnicodeDecodeError:
        return False
    return b"\x00" not in head

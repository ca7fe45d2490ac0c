"""Recordings as other programs write them, made with PyAV."""

from pathlib import Path

import av
import numpy as np
import soundfile


def write(
    path: Path,
    audio: np.ndarray,
    rate: int,
    codec: str,
    container: str,
    picture: bool = False,
    seekable: bool = True,
    bit_rate: int = 48000,
    **options: str,
) -> Path:
    """Encode mono audio [samples] in [-1, 1].

    Args:
        container: ffmpeg's name of the format.
        picture: add a cover, as music players do.
        seekable: False: as into a pipe, so that the header cannot hold the length.
        options: of the codec and the container.
    """
    sink = None if seekable else Pipe()
    with av.open(sink or str(path), "w", format=container, options=options) as target:
        stream = target.add_stream(codec, rate=rate, options=options)
        stream.layout = "mono"
        if codec not in ("flac", "alac", "pcm_s16le"):
            stream.bit_rate = bit_rate
        cover = target.add_stream("png", rate=1) if picture else None
        if cover is not None:
            cover.width = cover.height = 64
            cover.pix_fmt = "rgb24"
            cover.disposition = av.stream.Disposition.attached_pic
            noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
            target.mux(cover.encode(av.VideoFrame.from_ndarray(noise, "rgb24")))
            target.mux(cover.encode())
        frame = av.AudioFrame.from_ndarray(np.round(audio * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            target.mux(stream.encode(part))
        target.mux(stream.encode())
    if sink:
        path.write_bytes(sink.content)
    return path


class Pipe:
    """A file in which nothing can be written again."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)


def write_variable_mp3(path: Path, audio: np.ndarray, rate: int) -> Path:
    """An MP3 file of a variable bit rate without the Xing frame that tells its length."""
    soundfile.write(path, audio, rate, format="MP3", bitrate_mode="VARIABLE", compression_level=0.4)
    content = path.read_bytes()
    first = content.index(b"\xff\xf3")
    second = content.index(content[first : first + 2], first + 100)
    assert b"Xing" in content[first:second]
    path.write_bytes(content[second:])
    return path


def cut(path: Path, share: float) -> Path:
    """Leave only the first bytes of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def joined(path: Path, *others: Path) -> Path:
    """One file of the bytes of others."""
    path.write_bytes(b"".join(other.read_bytes() for other in others))
    return path

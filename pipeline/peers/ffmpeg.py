"""Codecs that ffmpeg runs, where it is installed and was built with them, as Debian's is."""

import functools
import shutil
import subprocess
from collections.abc import Sequence

import numpy as np

from pipeline.peers.peer import PeerError


def encode(audio: np.ndarray, rate: int, *output: str) -> bytes:
    """Float32 samples at a rate to a stream, whose encoder and format `output` names.

    Raises:
        PeerError: ffmpeg failed; the message has its words.
    """
    return _run(["-f", "f32le", "-ar", str(rate), "-ac", "1"], audio.tobytes(), *output)


def decode(data: bytes, *source: str) -> np.ndarray:
    """A stream to float32 samples; `source` names its format where it does not itself.

    Raises:
        PeerError: ffmpeg failed; the message has its words.
    """
    return np.frombuffer(_run(source, data, "-f", "f32le"), dtype=np.float32)


def missing(encoder: str) -> str | None:
    return None if encoder in encoders() else f"needs an ffmpeg built with {encoder} (Debian: apt install ffmpeg)"


@functools.cache
def encoders() -> frozenset[str]:
    if shutil.which("ffmpeg") is None:
        return frozenset()
    listed = subprocess.run(["ffmpeg", "-v", "error", "-encoders"], capture_output=True, text=True).stdout
    return frozenset(line.split()[1] for line in listed.splitlines() if len(line.split()) > 1)


def _run(source: Sequence[str], data: bytes, *output: str) -> bytes:
    command = ["ffmpeg", "-v", "error", *source, "-i", "pipe:0", *output, "pipe:1"]
    done = subprocess.run(command, input=data, capture_output=True)
    if done.returncode:
        raise PeerError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout

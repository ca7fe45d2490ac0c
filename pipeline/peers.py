"""Codecs to compare with, at 16 kHz mono, and a table of what they reach: `python -m pipeline.peers FOLDER`.

Opus comes with the soundfile package (libsndfile and libopus in one wheel), so it is always there. Speex and Codec2 are
there where ffmpeg is installed and was built with them, as Debian's is.

What a codec spends is counted in bytes of its packets; a file would add its framing, which for Opus in Ogg is
1.9 kbit/s on clips of 7 s.
"""

import argparse
import functools
import io
import math
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from scipy.signal import correlate, correlation_lags
from tqdm import tqdm

from codec.audio_files import SUFFIXES
from codec.metrics import SAMPLE_RATE, measure
from pipeline.audio import AudioError, read
from pipeline.workers import workers

LONGEST_DELAY = SAMPLE_RATE // 20  # samples; codecs leave theirs in the output, up to 40 ms
COLUMNS = {"snr": "SNR dB", "si_sdr": "SI-SDR dB", "pesq_wb": "PESQ-WB", "stoi": "STOI"}
RATES = 1.2, 3.2, 6, 8, 12, 16, 24, 32  # kbit/s asked for
OPUS = 6, 256  # kbit/s that libsndfile lets one channel have; a target, as the rate follows the speech
SPEEX = 3.95, 5.75, 7.75, 9.8, 12.8, 16.8, 20.6, 23.8, 27.8, 34.2, 42.2  # kbit/s of quality 0 to 10, wide band
CODEC2 = 0.7, 1.2, 1.3, 1.4, 1.6, 2.4, 3.2


class Coded(NamedTuple):
    audio: np.ndarray  # float32 [samples], aligned with the input and as long
    payload_bytes: int  # of the codec's packets, without a file's framing


class PeerError(ValueError):
    """There is no such codec, it is not installed, or it has no such rate; the message says which there are."""


class Peer(NamedTuple):
    code: Callable[[np.ndarray, float], Coded]
    lowest: float  # kbit/s it can be asked for
    highest: float
    ffmpeg_encoder: str | None = None  # what ffmpeg must have been built with


def _opus(audio: np.ndarray, kbps: float) -> Coded:
    """libopus as libsndfile sets it: application `audio`, 20 ms frames, VBR, at most wide band (16 kHz in)."""
    file = io.BytesIO()
    level = (OPUS[1] - kbps) / (OPUS[1] - OPUS[0])  # libsndfile's way to say a bit rate
    with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, format="OGG", subtype="OPUS", compression_level=level) as out:
        out.write(audio)
    data = file.getvalue()
    decoded, _ = soundfile.read(io.BytesIO(data), dtype="float32")  # without the pre-skip
    return Coded(decoded, sum(ogg_packets(data)[2:]))


def _speex(audio: np.ndarray, kbps: float) -> Coded:
    """libspeex, wide band, constant rate, 20 ms frames of whole bytes; no bits lift its SNR much: look at PESQ."""
    quality = SPEEX.index(_highest(SPEEX, kbps))
    data = _ffmpeg(audio, SAMPLE_RATE, "-c:a", "libspeex", "-cbr_quality", str(quality), "-f", "ogg")
    decoded = np.frombuffer(_ffmpeg(data, None, "-f", "f32le"), dtype=np.float32)
    return Coded(decoded, sum(ogg_packets(data)[2:]))


def _codec2(audio: np.ndarray, kbps: float) -> Coded:
    """libcodec2: a vocoder for 8 kHz, whose output keeps no waveform (its SNR says nothing)."""
    mode = "-mode", str(round(1000 * _highest(CODEC2, kbps)))
    narrow = soxr.resample(audio, SAMPLE_RATE, 8000)
    data = _ffmpeg(narrow, 8000, "-c:a", "libcodec2", *mode, "-f", "codec2raw")
    decoded = np.frombuffer(_ffmpeg(data, None, "-f", "f32le", source=("-f", "codec2raw", *mode)), dtype=np.float32)
    return Coded(soxr.resample(decoded, 8000, SAMPLE_RATE), len(data))


PEERS = {
    "opus": Peer(_opus, *OPUS),
    "speex": Peer(_speex, SPEEX[0], SPEEX[-1], "libspeex"),
    "codec2": Peer(_codec2, CODEC2[0], CODEC2[-1], "libcodec2"),
}


def peer_names() -> list[str]:
    """The codecs that are installed."""
    return [name for name, peer in PEERS.items() if peer.ffmpeg_encoder in {None, *ffmpeg_encoders()}]


def code(name: str, audio: np.ndarray, kbps: float) -> Coded:
    """Encode and decode a clip.

    The delay that a codec leaves is taken out by the lag, up to 50 ms, at which the output correlates best with the
    input; a comparison with it is then rather too kind to the other codec than unfair.

    Args:
        name: one of `peer_names()`.
        audio: float32 [samples] at 16 kHz, full scale at 1.
        kbps: the rate to ask for, in kbit/s; what was spent is `payload_bytes`.

    Returns:
        The decoded audio, float32 [samples] as long as the input, and the bytes of all packets.

    Raises:
        PeerError: no such codec, not installed, or not that rate.
        ValueError: `audio` is empty, not one-dimensional, or holds NaN or infinite samples.
    """
    require(name)
    if not has_rate(name, kbps):
        raise PeerError(f"{name} has no {kbps:g} kbit/s; ask for {PEERS[name].lowest:g} to {PEERS[name].highest:g}")
    if audio.ndim != 1 or not len(audio) or not np.isfinite(audio).all():
        raise ValueError(f"audio {audio.shape} must be [samples], at least one, all finite")
    decoded, payload_bytes = PEERS[name].code(np.ascontiguousarray(audio, dtype=np.float32), kbps)
    return Coded(_aligned(audio, decoded), payload_bytes)


def require(name: str) -> None:
    """Raise a PeerError unless there is such a codec and it is installed."""
    if name not in PEERS:
        raise PeerError(f"no codec {name!r} to compare with; there are {', '.join(PEERS)}")
    if name not in peer_names():
        raise PeerError(f"{name} needs an ffmpeg built with {PEERS[name].ffmpeg_encoder} (Debian: apt install ffmpeg)")


def has_rate(name: str, kbps: float) -> bool:
    """Whether a codec can be asked for a rate in kbit/s; Speex and Codec2 then take their next lower one."""
    return PEERS[name].lowest <= kbps <= PEERS[name].highest


def score(name: str, audio: np.ndarray, kbps: float) -> dict[str, float]:
    """Every measure of codec.metrics of a clip coded by `code`, and `kbps` as spent."""
    coded = code(name, audio, kbps)
    return {"kbps": coded.payload_bytes * 8 * SAMPLE_RATE / len(audio) / 1000, **measure(audio, coded.audio)}


def compare(clips: list[np.ndarray], names: Iterable[str], rates: Iterable[float]) -> list[dict]:
    """Means over clips of what `score` says, a row for each codec and each of the rates that it has.

    Args:
        clips: float32 [samples] at 16 kHz each.

    Returns:
        Rows with `codec`, `asked_kbps`, `kbps` and the measures; one that is undefined for a clip is left out there.
    """
    rows = [(name, rate) for name in names for rate in rates if has_rate(name, rate)]
    with workers() as pool:
        pending = [[pool.submit(score, name, clip, rate) for clip in clips] for name, rate in rows]
        progress = tqdm(pending, desc="compare", unit="row", file=sys.stderr, disable=None)
        scored = [[clip.result() for clip in row] for row in progress]
    return [{"codec": name, "asked_kbps": rate, **_means(row)} for (name, rate), row in zip(rows, scored, strict=True)]


def ogg_packets(data: bytes) -> list[int]:
    """Bytes of each packet of an Ogg stream (RFC 3533, section 6); the first two of Opus and Speex are headers."""
    packets, size, at = [], 0, 0
    while at < len(data):
        segments = data[at + 27 : at + 27 + data[at + 26]]
        for segment in segments:
            size += segment
            if segment < 255:
                packets.append(size)
                size = 0
        at += 27 + len(segments) + sum(segments)
    return packets


def _highest(modes: tuple[float, ...], kbps: float) -> float:
    return max(mode for mode in modes if mode <= kbps)


def _aligned(audio: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    correlation = correlate(decoded, audio, method="fft")
    lags = correlation_lags(len(decoded), len(audio))
    near = np.abs(lags) <= LONGEST_DELAY
    lag = int(lags[near][correlation[near].argmax()])
    shifted = decoded[lag:] if lag >= 0 else np.pad(decoded, (-lag, 0))
    return np.pad(shifted, (0, max(0, len(audio) - len(shifted))))[: len(audio)].astype(np.float32)


def _ffmpeg(data: np.ndarray | bytes, rate: int | None, *output: str, source: tuple[str, ...] = ()) -> bytes:
    """What ffmpeg makes of samples at a rate, or of a stream."""
    if rate:
        data, source = data.tobytes(), ("-f", "f32le", "-ar", str(rate), "-ac", "1")
    command = ["ffmpeg", "-v", "error", *source, "-i", "pipe:0", *output, "pipe:1"]
    done = subprocess.run(command, input=data, capture_output=True)
    if done.returncode:
        raise PeerError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


@functools.cache
def ffmpeg_encoders() -> frozenset[str]:
    if shutil.which("ffmpeg") is None:
        return frozenset()
    listed = subprocess.run(["ffmpeg", "-v", "error", "-encoders"], capture_output=True, text=True).stdout
    return frozenset(line.split()[1] for line in listed.splitlines() if len(line.split()) > 1)


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    means = {}
    for key in rows[0]:
        defined = [row[key] for row in rows if not math.isnan(row[key])]
        means[key] = sum(defined) / len(defined) if defined else math.nan
    return means


def _read_clips(folder: Path) -> list[np.ndarray]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        sys.exit(f"error: {folder} holds no recordings ({', '.join(sorted(SUFFIXES))})")
    clips = []
    for path in paths:
        try:
            samples, rate = read(path)
        except AudioError as error:
            sys.exit(f"error: {path}: {error.detail}")
        if not len(samples) or not np.isfinite(samples).all():
            sys.exit(f"error: {path}: holds no samples, or NaN or infinite ones; take it out of the folder")
        clips.append(soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE))
    return clips


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.peers", description="What other codecs reach.")
    parser.add_argument("folder", type=Path, help="recordings, in any depth of folders")
    parser.add_argument("--codecs", nargs="+", default=peer_names(), metavar="NAME", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, metavar="KBPS", help="rates to ask for")
    chosen = parser.parse_args(arguments)
    try:
        for name in chosen.codecs:
            require(name)
    except PeerError as error:
        sys.exit(f"error: {error}")
    if not any(has_rate(name, rate) for name in chosen.codecs for rate in chosen.rates):
        spans = (f"{name} {PEERS[name].lowest:g} to {PEERS[name].highest:g}" for name in chosen.codecs)
        sys.exit(f"error: none of these rates (kbit/s) can be asked for: {', '.join(spans)}")
    clips = _read_clips(chosen.folder)
    print(f"{len(clips)} clips; kbps from payload bytes, means over clips\n")
    print(f"{'codec':<8}{'asked':>8}{'kbps':>8}" + "".join(f"{title:>12}" for title in COLUMNS.values()))
    for row in compare(clips, chosen.codecs, chosen.rates):
        cells = "".join(f"{row[column]:>12.2f}" for column in COLUMNS)
        print(f"{row['codec']:<8}{row['asked_kbps']:>8g}{row['kbps']:>8.2f}{cells}")


if __name__ == "__main__":
    main(sys.argv[1:])

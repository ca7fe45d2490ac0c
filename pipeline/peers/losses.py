"""What is heard where packets are lost: `python -m pipeline.peers.losses FOLDER --judges distillmos dnsmos`.

Bursts of 20 to 60 ms are lost, the same ones for every codec. Our streams have packets that decode by themselves; once they are
decoded as over a network, and once with silence in the place of what is lost. Opus conceals in its own way. Each clip is
coded as finely as the rate allows, that of our whole streams, framing included, and of the packets of Opus.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pipeline import judges, peers
from pipeline.common import files
from pipeline.common.processes import workers
from pipeline.judges import table
from pipeline.judges.recordings import FolderError, read_folder
from pipeline.peers import opus
from pipeline.peers.__main__ import figure
from pipeline.peers.alignment import aligned
from pipeline.peers.measuring import measured
from pipeline.peers.peer import SAMPLE_RATE, Coded, PeerError
from pipeline.peers.targets import shipped
from telucodec.files import container
from telucodec.files.header import read_header

BURSTS = 20, 60  # ms
HOP, PACKET_MS = 240, 30  # of our streams
LAST_STEP = 1023
OPUS_TENTHS = 60, 1280  # of kbit/s that Opus is asked for; it spends less
CODECS = {"silence": "TeluCodec, silence", "telucodec": "TeluCodec", "opus": "Opus"}


def lost_time(milliseconds: int, percent: float, seed: int) -> np.ndarray:
    """Which milliseconds are lost, bool [milliseconds]: bursts of evenly distributed lengths at random times."""
    random, lost = np.random.default_rng(seed), np.zeros(milliseconds, bool)
    pause = sum(BURSTS) / 2 * (100 / percent - 1)
    time = random.exponential(pause)
    while time < milliseconds:
        burst = random.uniform(*BURSTS)
        lost[int(time) : int(time + burst)] = True
        time += burst + random.exponential(pause)
    return lost


def lost_packets(lost: np.ndarray, count: int, packet_ms: int) -> np.ndarray:
    """Which of so many packets are lost, bool [count]: those in the middle of whose time nothing arrives."""
    middles = np.arange(count) * packet_ms + packet_ms // 2
    return lost[np.minimum(middles, len(lost) - 1)]


def code(codec: str, audio: np.ndarray, kbps: float, lost: np.ndarray) -> Coded:
    """A clip as it is heard by one of `CODECS`, float32 [samples], and the bytes that were sent."""
    limit = kbps * 1000 / 8 * len(audio) / SAMPLE_RATE
    if codec == "opus":
        tenths = _finest(*OPUS_TENTHS, lambda tenths: sum(map(len, _opus(audio, tenths))) <= limit)
        packets = _opus(audio, tenths)
        gone = lost_packets(lost, len(packets), opus.FRAME_MS)
        arrived = [None if missing else packet for packet, missing in zip(packets, gone, strict=True)]
        return Coded(aligned(audio, opus.decode(arrived)), sum(map(len, packets)))
    data = _stream(audio, _finest(0, LAST_STEP, lambda step: len(_stream(audio, step)) <= limit))
    heard = _received(data, lost) if codec == "telucodec" else _silenced(data, lost)
    return Coded(heard, len(data))


def _finest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest number below `high` that fits, or `low`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _opus(audio: np.ndarray, tenths: int) -> list[bytes]:
    return opus.encode(audio, tenths / 10, "voip")[1]


def _stream(audio: np.ndarray, step: int) -> bytes:
    encoder = shipped().stream_encoder(step, perception=1, independent=True)
    return encoder.push(audio) + encoder.finish()


def _received(data: bytes, lost: np.ndarray) -> np.ndarray:
    """What a decoder makes of the packets that arrive."""
    decoder, start = shipped().stream_decoder(lenient=True), read_header(data)[1]
    *packets, end = (
        container.write_packet(number, payload or b"") for number, payload in container.read_packets(data, start, None)
    )
    parts = [decoder.push(data[:start])]
    for packet, missing in zip(packets, lost_packets(lost, len(packets), PACKET_MS), strict=True):
        parts.append(decoder.conceal() if missing else decoder.push(packet))
    parts.append(decoder.push(end))
    return np.concatenate(parts)[: decoder.samples]


def _silenced(data: bytes, lost: np.ndarray) -> np.ndarray:
    """The sound of all packets, faded out and in where frames are lost, as their windows do."""
    audio = shipped().decode(data)
    hops = -(-len(audio) // HOP)
    here = np.repeat(~lost_packets(lost, hops // 2 + 1, PACKET_MS), 2)
    rising = np.sin(np.pi / 2 * (np.arange(HOP) + 0.5) / HOP) ** 2
    gate = here[1 : hops + 1, None] * rising + here[:hops, None] * (1 - rising)
    return (audio * gate.reshape(-1)[: len(audio)]).astype(np.float32)


def score(codec: str, audio: np.ndarray, kbps: float, percent: float, seed: int, names: list[str]) -> dict[str, float]:
    """`kbps` as spent, every measure of telucodec.audio.metrics, and what judges say about a clip."""
    milliseconds = len(audio) * 1000 // SAMPLE_RATE + 100
    lost = lost_time(milliseconds, percent, seed) if percent else np.zeros(milliseconds, bool)
    coded = code(codec, audio, kbps, lost)
    return {"kbps": peers.kbps(coded), **measured(audio, coded.audio, names)}


def compare(
    clips: list[np.ndarray], rates: list[float], percents: list[float], names: list[str]
) -> dict[str, dict[str, float]]:
    """Means over clips of `score` for each codec, rate in kbit/s and percentage of lost time; without loss none is silenced."""
    rows = [
        (codec, kbps, percent)
        for kbps in rates
        for percent in [0.0, *percents]
        for codec in CODECS
        if percent or codec != "silence"
    ]
    names = [*names, "levels"]
    with workers() as pool:
        pending = {
            f"{CODECS[codec]}, {kbps:g} kbit/s, {percent:g} % lost": [
                pool.submit(score, codec, clip, kbps, percent, seed, names) for seed, clip in enumerate(clips)
            ]
            for codec, kbps, percent in rows
        }
        jobs = tqdm(pending.items(), desc="losses", unit="row", file=sys.stderr, disable=None)
        return {label: table.means([job.result() for job in row]) for label, row in jobs}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.peers.losses", description=__doc__)
    parser.add_argument("folder", type=Path, help="recordings, in any depth of folders")
    parser.add_argument("--kbps", nargs="+", type=float, default=[6.0, 9.0], metavar="RATE", help="default: 6 9")
    parser.add_argument("--lost", nargs="+", type=float, default=[5.0, 10.0], metavar="PERCENT", help="default: 5 10")
    parser.add_argument(
        "--clips", type=int, default=12, metavar="COUNT", help="the first ones of the folder; default: 12"
    )
    parser.add_argument("--judges", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(judges.JUDGES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table and all values there")
    options = parser.parse_args(arguments)
    try:
        for kbps in options.kbps:
            peers.require("opus", kbps)
        if not all(0 < percent < 100 for percent in options.lost):
            raise PeerError(f"--lost takes percentages between 0 and 100, got {options.lost}")
        names = [name for name in options.judges if name != "levels"]
        judges.require(names)
        clips = list(read_folder(options.folder).values())[: options.clips]
        rows = compare(clips, options.kbps, options.lost, names)
    except (judges.JudgeError, PeerError, FolderError) as error:
        sys.exit(f"error: {error}")
    shown = table.columns(names, coded=True)
    print(f"{len(clips)} clips; means over clips\n\n{table.text(rows, shown)}")
    if options.json:
        files.write_json(options.json, figure(rows, len(clips), shown))


if __name__ == "__main__":
    main(sys.argv[1:])

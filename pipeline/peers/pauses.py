"""What it saves to leave packets out in pauses, and how that sounds: `python -m pipeline.peers.pauses FOLDER --judges dnsmos`.

Live streams with perception, without discontinuous transmission (DTX) and with it. Each recording is coded as it is, and as one
side of a conversation: as long as the next recording lasts, half of it before and half after, there is only its own background,
made of its quietest stretches.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

import telucodec
from pipeline import judges
from pipeline.common import files
from pipeline.common.processes import workers
from pipeline.judges import table
from pipeline.judges.recordings import FolderError, read_folder
from pipeline.peers import SAMPLE_RATE
from pipeline.peers.__main__ import figure
from pipeline.peers.measuring import measured
from pipeline.peers.targets import shipped
from telucodec.files import container
from telucodec.files.header import read_header

HOP = 240  # of our streams
BLOCK = 480  # samples of which the level is looked at
QUIET = 20  # percent of the blocks that are background
SHORTEST = 3  # blocks of a stretch of it
JOINT = 320  # samples of a cross-fade between stretches


def background(audio: np.ndarray, count: int, seed: int) -> np.ndarray:
    """So many samples of the background of a recording: its quietest stretches in random order."""
    blocks = audio[: len(audio) // BLOCK * BLOCK].reshape(-1, BLOCK)
    energy = np.square(blocks, dtype=np.float64).mean(1)
    quiet = np.concatenate([[False], energy <= np.percentile(energy, QUIET), [False]])
    starts, ends = np.flatnonzero(np.diff(quiet.astype(int))).reshape(-1, 2).T
    longest = (ends - starts).argmax()
    chosen = [n for n in range(len(starts)) if n == longest or ends[n] - starts[n] >= SHORTEST]
    random, fade = np.random.default_rng(seed), np.sin(np.pi / 2 * (np.arange(JOINT) + 0.5) / JOINT)
    longest_part = (ends - starts).max() * BLOCK
    out, place = np.zeros(JOINT + count + longest_part), 0
    while place < JOINT + count:
        n = random.choice(chosen)
        stretch = audio[starts[n] * BLOCK : ends[n] * BLOCK].astype(np.float64)
        stretch[:JOINT] *= fade
        stretch[-JOINT:] *= fade[::-1]
        out[place : place + len(stretch)] += stretch
        place += len(stretch) - JOINT
    return out[JOINT : JOINT + count].astype(np.float32)


def one_side(audio: np.ndarray, silent: int, seed: int) -> np.ndarray:
    """A recording with so many samples of its background around it."""
    around = background(audio, silent, seed)
    return np.concatenate([around[: silent // 2], audio, around[silent // 2 :]])


def score(audio: np.ndarray, step: int, dtx: bool, names: list[str]) -> dict[str, float]:
    """`kbps`, percent of packets `left_out`, every measure of telucodec.audio.metrics, and what judges say about a clip."""
    encoder = shipped().stream_encoder(step, perception=1, dtx=dtx)
    data = encoder.push(audio) + encoder.finish()
    header, place = read_header(data)
    read = container.read_packets(data, place, None, most_left_out=header.most_left_out)
    sent = sum(payload is not None for number, payload in read if number >= 0)
    return {
        "kbps": 8 * len(data) * SAMPLE_RATE / len(audio) / 1000,
        "left_out": 100 * (1 - sent / container.stream_packets(len(audio), HOP, header.packet_frames)),
        **measured(audio, shipped().decode(data), names),
    }


def compare(clips: list[np.ndarray], steps: list[int], names: list[str]) -> dict[str, dict[str, float]]:
    """Means over clips of `score`, of clips as they are and of sides of conversations."""
    after = [*clips[1:], clips[0]]
    sides = [one_side(clip, len(other), seed) for seed, (clip, other) in enumerate(zip(clips, after, strict=True))]
    names = [*names, "levels"]
    with workers() as pool:
        pending = {
            f"{kind}, step {step}, {'DTX' if dtx else 'no DTX'}": [
                pool.submit(score, clip, step, dtx, names) for clip in recordings
            ]
            for step in steps
            for kind, recordings in (("clips", clips), ("one side", sides))
            for dtx in (False, True)
        }
        jobs = tqdm(pending.items(), desc="pauses", unit="row", file=sys.stderr, disable=None)
        return {label: table.means([job.result() for job in row]) for label, row in jobs}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.peers.pauses", description=__doc__)
    parser.add_argument("folder", type=Path, help="recordings, in any depth of folders")
    parser.add_argument("--steps", nargs="+", type=int, default=[300], metavar="STEP", help="default: 300")
    parser.add_argument("--judges", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(judges.JUDGES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table and all values there")
    options = parser.parse_args(arguments)
    try:
        names = [name for name in options.judges if name != "levels"]
        judges.require(names)
        clips = list(read_folder(options.folder).values())
        for step in options.steps:
            shipped().stream_encoder(step, perception=1)
    except (judges.JudgeError, FolderError, telucodec.CodecError) as error:
        sys.exit(f"error: {error}")
    rows = compare(clips, options.steps, names)
    shown = {"kbps": table.TITLES["kbps"], "left_out": "left out %"} | table.columns(names, coded=True)
    print(f"{len(clips)} clips; means over clips\n\n{table.text(rows, shown)}")
    if options.json:
        files.write_json(options.json, figure(rows, len(clips), shown))


if __name__ == "__main__":
    main(sys.argv[1:])

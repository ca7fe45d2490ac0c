"""Makes the listening examples of the page, docs/demo/examples: speech as this codec, Opus and, if it is installed, Lyra v2
return it, at several rates.

    python -m tools.demo_examples DIR SOURCE

DIR has recordings, of which the first CLIPS are taken, SECONDS of each; SOURCE is a sentence for the page on who made them and
their licence. Without both, it is the built-in speech, which needs no licence; `python -m tools.demo` makes that, too.
"""

import argparse
import itertools
import json
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import soxr

import telucodec
from pipeline import peers
from pipeline.common.stage import StageError
from pipeline.corpus.telugu_text import SENTENCES
from pipeline.judges.recordings import FolderError, read_folder
from pipeline.peers import opus
from pipeline.sample import Speaker
from telucodec import CodecError, OperatingPoint
from telucodec.audio.samples import FULL_SCALE
from telucodec.codec import Codec

FOLDER = Path(__file__).parents[1] / "docs" / "demo" / "examples"
INDEX = "examples.json"
CLIPS, SECONDS = 3, 6
LYRA = "Lyra v2 has the networks of google/lyra (Apache-2.0)."
POINTS = "tokens_4", "tokens_8", "perception_1_kbps_6", "perception_1_kbps_12"
RIVALS = ("lyra", 3.2), ("opus", 6), ("opus", 12)  # and kbit/s
BUILT_IN = "Synthetic Telugu speech by espeak-ng, made for this page"
VOICES = {"Man": ("m1", 150, 40, 45), "Woman": ("f1", 156, 47, 50)}  # voice, rate, pitch and its range


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo_examples", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="recordings (default: built-in speech)")
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="a sentence: who made them, and their licence")
    options = parser.parse_args(arguments)
    if options.folder and not options.source:
        parser.error("say on the page where the speech is from: give a SOURCE after DIR")
    try:
        speech = recorded(options.folder) if options.folder else built_in()
        write(FOLDER, speech, options.source or BUILT_IN, telucodec.load())
    except (CodecError, FolderError, StageError, peers.PeerError, OSError) as error:
        sys.exit(f"error: {error}")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{FOLDER}: {len(speech)} clips, {size / 1000:.0f} kB")


def recorded(folder: Path) -> dict[str, np.ndarray]:
    """The beginnings of recordings by name, float32 [samples] at 16 kHz.

    Raises:
        FolderError: there are none, or one cannot be read.
    """
    found = itertools.islice(read_folder(folder).items(), CLIPS)
    return {Path(name).name: audio[: SECONDS * peers.SAMPLE_RATE] for name, audio in found}


def built_in() -> dict[str, np.ndarray]:
    """A sentence of each voice, float32 [samples] at 16 kHz."""
    speech = {}
    for (name, voice), sentence in zip(VOICES.items(), SENTENCES, strict=False):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:  # it can have only one voice
            speech[name] = process.submit(_spoken, voice, sentence).result()
    return speech


def _spoken(voice: tuple[str, int, int, int], sentence: str) -> np.ndarray:
    speaker = Speaker(*voice)
    audio = speaker.say(sentence).astype(np.float32) / FULL_SCALE
    return soxr.resample(audio, speaker.sample_rate, peers.SAMPLE_RATE)


def write(folder: Path, speech: dict[str, np.ndarray], source: str, telu: Codec) -> None:
    """Make `folder` anew.

    Args:
        speech: float32 [samples] at 16 kHz by name.
        source: a sentence on where it is from.
        telu: the models of the page.

    Raises:
        PeerError: PyAV is missing, or came without its wheel's libopus.
    """
    peers.require("opus")
    clips, present = [], peers.installed()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, (name, audio) in enumerate(speech.items()):
        versions = [_recording(folder, f"{number}-original", "The speech itself", None, audio)]
        for point in map(OperatingPoint.parse, POINTS):
            data = telu.encode(audio, **point.arguments)
            (folder / f"{number}-{point.name}.tlc").write_bytes(data)
            kbps = 8 * len(data) / len(audio) * peers.SAMPLE_RATE / 1000
            what = "Tokens" if point.tokens else "Waveform"
            versions.append({"name": what, "kbps": round(kbps, 1), "file": f"{number}-{point.name}.tlc"})
        for rival, asked in RIVALS:
            if rival in present:
                coded, title = peers.code(rival, audio, asked), peers.PEERS[rival].title
                versions.append(
                    _recording(folder, f"{number}-{rival}-{asked:g}", title, peers.kbps(coded), coded.audio)
                )
        clips.append({"name": name, "versions": versions})
    whose = [f"Opus is that of {opus.version()}."] + [LYRA] * ("lyra" in present)
    index = {"source": source, "rivals": whose, "models": _models(telu), "clips": clips}
    (folder / INDEX).write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def complete(folder: Path, telu: Codec) -> None:
    """Make those of the built-in speech, unless there are some of these models.

    Raises:
        PeerError: as `write`.
        StageError: espeak-ng is missing or broken.
    """
    index = folder / INDEX
    if not index.exists() or json.loads(index.read_text(encoding="utf-8"))["models"] != _models(telu):
        write(folder, built_in(), BUILT_IN, telu)


def _models(telu: Codec) -> dict[str, str]:
    return {kind: telu.model_id(kind) for kind in telu.kinds}


def _recording(folder: Path, stem: str, name: str, kbps: float | None, audio: np.ndarray) -> dict:
    soundfile.write(folder / f"{stem}.flac", audio, peers.SAMPLE_RATE, subtype="PCM_16")
    return {"name": name, "kbps": kbps and round(kbps, 1), "file": f"{stem}.flac"}


if __name__ == "__main__":
    main(sys.argv[1:])

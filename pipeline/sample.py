"""Stage `sample`: synthetic Telugu speech, so that a new machine can train without a download.

espeak-ng, from the espeakng-loader package, speaks pipeline/corpus/telugu_text.py in several voices. With the same version of
the package, every run gives the same bytes.
"""

import ctypes
import io
import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import espeakng_loader
import numpy as np
import soundfile
from tqdm import tqdm

from pipeline.common import files, stage
from pipeline.common.sections import BUILT_IN_SPEECH, Params
from pipeline.common.stage import StageError
from pipeline.corpus.telugu_text import SENTENCES
from telucodec.processors import usable

# espeak-ng's voice variants, in an order in which the first 4, the default 14 and all 16 include voices for training (t),
# validation (v) and test (x) under the default split:
#          t     t     v     x     t     t     t     x     v        t     t        t     t       t       t     t
VOICES = ("m1", "f1", "m5", "f5", "f2", "m3", "f3", "m2", "Annie", "m7", "linda", "m4", "adam", "steph", "f4", "m6")

SYNCHRONOUS_OUTPUT, DONT_EXIT, UTF8_TEXT = 2, 0x8000, 1  # constants of espeak-ng's speak_lib.h
LONGEST_PATH = 140  # bytes; espeak-ng has a buffer of 160 and appends file names
RATE, PITCH, RANGE = 1, 3, 4

# espeak-ng's voices are brighter than recorded speech: a quarter of their energy is above 1 kHz, but only a tenth in
# recordings of Telugu and related languages. A first-order low-pass with this corner (Hz) restores the balance at 1 kHz.
# Above 2 kHz it leaves less energy than recordings have (0.8 % against 4 %), so this speech is easier to code.
TILT = 700.0


def main(params: Params) -> None:
    target = Path(BUILT_IN_SPEECH)
    if not params.data.is_built_in:
        with files.whole_folder(target):
            print(f"data.root is {params.data.root}, so the built-in speech is not needed")
        return
    voices = VOICES[: params.sample.voices]
    seconds = params.sample.minutes * 60 / len(voices)
    with files.whole_folder(target) as folder:
        jobs = [(number, voice, seconds, folder / voice) for number, voice in enumerate(voices)]
        with ThreadPoolExecutor(usable()) as pool:
            durations = pool.map(_in_own_process, jobs)
            total = sum(tqdm(durations, total=len(jobs), desc="sample", unit="voice", file=sys.stderr, disable=None))
    print(f"{target}: {total / 60:.1f} minutes, {len(voices)} voices")


def _in_own_process(job: tuple[int, str, float, Path]) -> float:
    """Speak one voice in a new process: espeak-ng keeps state, on which the next voice would depend.

    Raises:
        StageError: espeak-ng crashed.
    """
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            return process.submit(_speak_voice, job).result()
    except BrokenProcessPool:
        raise StageError(f"espeak-ng crashed with voice {job[1]}; reinstall espeakng-loader") from None


def _speak_voice(job: tuple[int, str, float, Path]) -> float:
    """Speak whole sentences in one voice, about `seconds` in total; returns their exact duration in seconds."""
    number, voice, seconds, folder = job
    folder.mkdir()
    random = np.random.default_rng(number)
    rate, pitch, pitch_range = 150 + 6 * (number % 7), 40 + 7 * (number % 4), 45 + 5 * (number % 6)
    speaker = Speaker(voice, rate, pitch, pitch_range)
    pole = np.exp(-2 * np.pi * TILT / speaker.sample_rate)
    tilt = (1 - pole) * pole ** np.arange(128)  # ends at -220 dB; importing scipy's filters takes longer than speaking
    level = random.uniform(-6, 0)  # dB; speakers differ in loudness, and so, a little, do their sentences
    order, spoken = random.permutation(len(SENTENCES)), 0.0
    for turn in range(10_000):
        audio = speaker.say(SENTENCES[order[turn % len(order)]])
        if turn and spoken + len(audio) / speaker.sample_rate / 2 > seconds:
            break
        audio = np.convolve(audio / 32768, tilt)[: len(audio)] * 10 ** ((level + random.uniform(-2, 0)) / 20)
        content = io.BytesIO()  # libsndfile does not say that a disk is full
        soundfile.write(content, audio, speaker.sample_rate, subtype="PCM_16", format="WAV")
        (folder / f"{turn:03d}.wav").write_bytes(content.getvalue())
        spoken += len(audio) / speaker.sample_rate
    return spoken


class Speaker:
    """One voice of espeak-ng; a process can have only one.

    Raises:
        StageError: the voice or the library is missing.
    """

    def __init__(self, voice: str, rate: int, pitch: int, pitch_range: int):
        data = Path(espeakng_loader.get_data_path())
        if not (data / "voices" / "!v" / voice).exists():  # espeak-ng would silently use its default voice
            raise StageError(f"espeakng-loader has no voice variant {voice}; install the version in constraints.txt")
        if len(os.fsencode(data)) > LONGEST_PATH:
            self._shortcut = tempfile.TemporaryDirectory()
            data = Path(self._shortcut.name, "data")
            data.symlink_to(espeakng_loader.get_data_path())
        try:
            self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise StageError(f"the espeak-ng library cannot be loaded ({error}); reinstall espeakng-loader") from None
        self.sample_rate = self._library.espeak_Initialize(SYNCHRONOUS_OUTPUT, 0, os.fsencode(data), DONT_EXIT)
        if self.sample_rate <= 0 or self._library.espeak_SetVoiceByName(f"te+{voice}".encode()) != 0:
            raise StageError(f"espeak-ng cannot speak Telugu with voice {voice}; reinstall espeakng-loader")
        self._library.espeak_ng_SetRandSeed(
            ctypes.c_long(1)
        )  # for the noise of fricatives, otherwise seeded by the clock
        for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chunks: list[np.ndarray] = []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = callback(self._receive)  # a reference, or it would be collected while the library calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int | None) -> int:
        if samples and count:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str) -> np.ndarray:
        """A sentence as int16 samples."""
        self._chunks.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, UTF8_TEXT, None, None)
        return np.concatenate(self._chunks)


if __name__ == "__main__":
    stage.run(main)

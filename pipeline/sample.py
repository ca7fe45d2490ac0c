"""Stage `sample`: the built-in Telugu speech, so that a fresh machine can train without any download.

espeak-ng, from the espeakng-loader package, speaks pipeline/telugu_text.py in several voices. The result is the same to
the byte on every run with the same version of the package.
"""

import ctypes
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

from pipeline import files, stage
from pipeline.sections import BUILT_IN_SPEECH, Params
from pipeline.stage import StageError
from pipeline.telugu_text import SENTENCES

# espeak-ng's voice variants, ordered so that the first 4, the default 14 and all of them hold voices for training (t),
# validation (v) and test (x) under the default split:
#          t     t     v     x     t     t     t     x     v        t     t        t     t       t       t     t
VOICES = ("m1", "f1", "m5", "f5", "f2", "m3", "f3", "m2", "Annie", "m7", "linda", "m4", "adam", "steph", "f4", "m6")

SYNCHRONOUS_OUTPUT, DONT_EXIT, UTF8_TEXT = 2, 0x8000, 1  # constants of espeak-ng's speak_lib.h
LONGEST_PATH = 140  # bytes; espeak-ng has room for 160 and puts file names behind it
RATE, PITCH, RANGE = 1, 3, 4

# espeak-ng's voices are brighter than recorded speech: a quarter of their energy lies above 1 kHz, a tenth in
# recordings of Telugu and its neighbours. A first-order low-pass with this corner (Hz) brings them to the same balance
# there. Above 2 kHz it leaves less than recordings have (0.8 % of the energy against 4 %): this speech is easier to code.
TILT = 700.0


def main(params: Params) -> None:
    target = Path(BUILT_IN_SPEECH)
    if not params.data.is_built_in:
        with files.whole_folder(target):
            print(f"data.root is {params.data.root}: no built-in speech needed")
        return
    voices = VOICES[: params.sample.voices]
    seconds = params.sample.minutes * 60 / len(voices)
    with files.whole_folder(target) as folder:
        jobs = [(number, voice, seconds, folder / voice) for number, voice in enumerate(voices)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            spoken = pool.map(_in_own_process, jobs)
            total = sum(tqdm(spoken, total=len(jobs), desc="sample", unit="voice", file=sys.stderr, disable=None))
    print(f"{target}: {total / 60:.1f} minutes, {len(voices)} voices")


def _in_own_process(job: tuple[int, str, float, Path]) -> float:
    """espeak-ng keeps state, and what a voice says must not depend on who spoke before in the same process."""
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            return process.submit(_speak_voice, job).result()
    except BrokenProcessPool:
        raise StageError(f"espeak-ng died while speaking with voice {job[1]}; reinstall espeakng-loader") from None


def _speak_voice(job: tuple[int, str, float, Path]) -> float:
    """Speak whole sentences in one voice, as near to `seconds` in all as they come; returns how long they last."""
    number, voice, seconds, folder = job
    folder.mkdir()
    random = np.random.default_rng(number)
    rate, pitch, pitch_range = 150 + 6 * (number % 7), 40 + 7 * (number % 4), 45 + 5 * (number % 6)
    speaker = Speaker(voice, rate, pitch, pitch_range)
    pole = np.exp(-2 * np.pi * TILT / speaker.sample_rate)
    tilt = (1 - pole) * pole ** np.arange(128)  # ends 220 dB down; scipy's filters take longer to import than to speak
    level = random.uniform(-6, 0)  # dB; speakers differ in loudness, and their sentences a little
    order, spoken = random.permutation(len(SENTENCES)), 0.0
    for turn in range(10_000):
        audio = speaker.say(SENTENCES[order[turn % len(order)]])
        if turn and spoken + len(audio) / speaker.sample_rate / 2 > seconds:
            break
        audio = np.convolve(audio / 32768, tilt)[: len(audio)] * 10 ** ((level + random.uniform(-2, 0)) / 20)
        soundfile.write(folder / f"{turn:03d}.wav", audio, speaker.sample_rate, subtype="PCM_16")
        spoken += len(audio) / speaker.sample_rate
    return spoken


class Speaker:
    """One voice of espeak-ng; one to a process."""

    def __init__(self, voice: str, rate: int, pitch: int, pitch_range: int):
        data = Path(espeakng_loader.get_data_path())
        if not (data / "voices" / "!v" / voice).exists():  # espeak-ng would quietly take its plain voice
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
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # its fricatives' noise; seeded by the clock otherwise
        for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._heard: list[np.ndarray] = []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = callback(self._hear)  # kept, or it would be collected while the library still calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def _hear(self, samples, count: int, _events) -> int:
        if samples and count:
            self._heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str) -> np.ndarray:
        """A sentence as int16 samples."""
        self._heard.clear()
        encoded = text.encode()
        self._library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, 1, 0, UTF8_TEXT, None, None)
        return np.concatenate(self._heard)


if __name__ == "__main__":
    stage.run(main)

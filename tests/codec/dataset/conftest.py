import hashlib

import pytest
import soundfile

RATE = 16000


@pytest.fixture(scope="package")
def recordings(tmp_path_factory, spoken):
    """Seven recordings at two depths, one of another rate, one of another kind."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(5):
        soundfile.write(folder / f"{number}.wav", spoken(0.5 + number / 10, seed=number), RATE)
    soundfile.write(folder / "deep" / "talk.a.flac", spoken(0.4, seed=8), 48000)
    soundfile.write(folder / "deep" / "er" / "తెలుగు.wav", spoken(0.4, seed=9), RATE)
    (folder / "notes.txt").write_text("no recording")
    return folder


def contents(out):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}

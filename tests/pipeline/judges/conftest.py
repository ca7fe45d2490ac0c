import numpy as np
import pytest
import soundfile
import soxr

from pipeline import sample
from tests.pipeline.conftest import ROOT, change_params


@pytest.fixture(scope="session")
def sentence(tmp_path_factory) -> np.ndarray:
    """A Telugu sentence [samples], spoken by espeak-ng. Models that judge speech take the tests' own vowels for noise."""
    folder = tmp_path_factory.mktemp("sentence")
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sample.main(change_params(folder, {"sample.minutes": 0.1, "sample.voices": 4}))
    audio, rate = soundfile.read(folder / "data" / "sample" / sample.VOICES[0] / "000.wav", dtype="float32")
    return soxr.resample(audio, rate, 16000)[:64000]

import re
import sys

import pytest
import soundfile
import torch

from examples import language_model
from telucodec import dataset, load


@pytest.fixture(scope="module")
def tokens(tmp_path_factory, spoken):
    folder = tmp_path_factory.mktemp("language_model")
    (folder / "recordings").mkdir()
    for number in range(6):
        soundfile.write(folder / "recordings" / f"{number}.wav", spoken(2, number), 16000)
    dataset.write(load(kinds=["tokens"]), folder / "recordings", folder / "tokens", 4)
    return folder / "tokens"


def test_the_delay_pattern_shifts_each_codebook_and_back():
    codes = torch.arange(12).view(3, 4)
    pattern = language_model.delayed(codes, 99)
    assert pattern.tolist() == [[0, 1, 2, 3, 99, 99], [99, 4, 5, 6, 7, 99], [99, 99, 8, 9, 10, 11]]
    assert torch.equal(language_model.aligned(pattern), codes)


def test_a_step_is_predicted_from_earlier_ones_alone():
    torch.manual_seed(0)
    model = language_model.LanguageModel(2, 8)
    pattern = torch.randint(8, (1, 2, 10))
    changed = pattern.clone()
    changed[:, :, 6:] = (changed[:, :, 6:] + 1) % 8
    before, after = model(pattern)[0], model(changed)[0]
    assert torch.equal(before[:, :6], after[:, :6]) and not torch.equal(before[:, 6:], after[:, 6:])


def test_it_trains_and_speaks(tokens, tmp_path, monkeypatch, capsys):
    output = tmp_path / "spoken.wav"
    monkeypatch.setattr(sys, "argv", ["", str(tokens), "-o", str(output), "--minutes", "0.1", "--seconds", "1.5"])
    language_model.main()
    audio, rate = soundfile.read(output)
    assert (rate, len(audio)) == (16000, 24000) and audio.std() > 1e-3
    [bits] = re.findall(r"([\d.]+) bits a frame on 1 recordings", capsys.readouterr().out)
    assert float(bits) < 39  # an untrained model needs 40

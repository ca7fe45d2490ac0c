import numpy as np
import pytest
import soundfile

from telucodec import cli


@pytest.fixture
def folder(tmp_path, monkeypatch, spoken):
    """A folder with a stereo recording at 44.1 kHz, and the working directory in it."""
    monkeypatch.chdir(tmp_path)
    voice = spoken(1.2, seed=3, rate=44100)
    soundfile.write("talk.wav", np.stack([voice, 0.5 * voice], 1), 44100)
    return tmp_path


@pytest.fixture
def run(models, capsys):
    """The command in this process: exit code, standard output, standard error."""

    def run(*arguments):
        try:
            model = [] if arguments[0] == "info" else ["--model", models]
            code = cli.main([str(argument) for argument in (*arguments, *model)])
        except SystemExit as leave:
            code = leave.code
        return code, *capsys.readouterr()

    return run

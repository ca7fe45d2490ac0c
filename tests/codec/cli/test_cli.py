import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from telucodec import cli
from tests.codec.cli.command import left, process


def test_there_and_back(folder, run):
    assert run("encode", "talk.wav", "--snr", 25)[0] == 0
    assert run("decode", "talk.tlc", "-o", "back.wav")[0] == 0
    output, rate = soundfile.read("back.wav")
    assert rate == 16000
    assert output.shape == (19200,)
    code, shown, _ = run("info", "talk.tlc", "--json")
    facts = json.loads(shown)
    size = (folder / "talk.tlc").stat().st_size
    assert code == 0
    assert (facts["mode"], facts["samples"], facts["bytes"]) == ("waveform", 19200, size)
    assert facts["kbps"] == pytest.approx(8 * size / 1.2 / 1000)
    assert "waveform" in run("info", "talk.tlc")[1]


def test_decoded_samples_beyond_full_scale_are_said_or_kept(folder, run, spoken):
    soundfile.write("loud.wav", np.clip(8 * spoken(1.2, seed=3), -1, 1), 16000)
    assert run("encode", "loud.wav", "--snr", 5)[0] == 0
    code, _, said = run("decode", "loud.tlc", "-o", "clipped.wav")
    assert code == 0 and "telucodec: loud.tlc: " in said and "are clipped; a floating-point file (--float)" in said
    assert run("decode", "loud.tlc", "--float", "-o", "kept.wav") == (0, "", "")
    kept, clipped = (soundfile.read(name, dtype="float32")[0] for name in ("kept.wav", "clipped.wav"))
    assert f"{(abs(kept) > 1).sum()} of 19200 samples" in said
    assert abs(np.clip(kept, -1, 1) - clipped).max() < 1e-4


def test_tokens_of_a_recording_sound_like_it(folder, run):
    assert run("encode", "talk.wav", "--tokens")[0] == 0
    assert run("decode", "talk.tlc", "-o", "back.wav")[0] == 0
    voice, output = soundfile.read("talk.wav")[0].mean(1), soundfile.read("back.wav")[0]
    assert np.std(output) == pytest.approx(np.std(voice), rel=0.6)


def test_tokens_of_a_rate_stay_below_it(folder, run):
    assert run("encode", "talk.wav", "--tokens", 3, "--kbps", 1.5)[0] == 0
    facts = json.loads(run("info", "talk.tlc", "--json")[1])
    assert facts["codebooks"] == 3 and 1 <= facts["mean_codebooks"] <= 3 and facts["kbps"] <= 1.5


def test_standard_input_and_output(folder, models):
    recording = (folder / "talk.wav").read_bytes()
    coded = process("encode", "-", "-o", "-", "--step", 300, "--model", models, input=recording)
    assert coded.returncode == 0, coded.stderr
    decoded = process("decode", "-", "-o", "-", "--model", models, input=coded.stdout)
    assert decoded.returncode == 0, decoded.stderr
    (folder / "back.wav").write_bytes(decoded.stdout)
    assert soundfile.info("back.wav").frames == 19200


def test_help_teaches_and_does_not_wait_for_pytorch():
    code = "import sys\nfrom telucodec.cli import main\n"
    code += "try: main(['encode', '--help'])\nfinally: assert 'torch' not in sys.modules"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "examples:" in shown.stdout and "--snr 30" in shown.stdout


def test_several_inputs_go_to_a_folder(folder, run):
    for name in "ab":
        (folder / f"{name}.wav").write_bytes((folder / "talk.wav").read_bytes())
    assert run("encode", "a.wav", "b.wav", "-o", "coded/", "--tokens", 1)[0] == 0
    assert left(folder / "coded") == ["a.tlc", "b.tlc"]
    code, _, error = run("encode", "a.wav", "b.wav", "-o", "one.tlc", "--tokens", 1)
    assert code == 1 and "folder" in error
    (folder / "a.flac").write_bytes(b"")
    code, _, error = run("encode", "a.wav", "a.flac", "--tokens", 1)
    assert code == 1 and "a.tlc" in error


def test_existing_output_is_kept_without_force(folder, run):
    (folder / "talk.tlc").write_text("mine")
    code, _, error = run("encode", "talk.wav", "--tokens")
    assert code == 1 and "--force" in error
    assert (folder / "talk.tlc").read_text() == "mine"
    assert run("encode", "talk.wav", "--tokens", "--force")[0] == 0
    assert (folder / "talk.tlc").read_bytes()[:3] == b"TLC"


def test_folder_as_output_takes_the_file(folder, run):
    (folder / "out").mkdir()
    assert run("encode", "talk.wav", "--tokens", "-o", "out")[0] == 0
    assert left(folder / "out") == ["talk.tlc"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["encode", "talk.wav"], 2, "--snr"),
        (["encode", "talk.wav", "--snr", "20", "--kbps", "5"], 2, "with --kbps"),
        (["encode", "talk.wav", "--snr", "loud"], 2, "loud"),
        (["encode", "talk.wav", "--snr", "nan"], 2, "snr must be a number"),
        (["encode", "--tokens", "talk.wav"], 2, "put the names of files before --tokens"),
        (["encode", "talk.wav", "--snr", "200", "--strict"], 1, "talk.wav: 200.00 dB SNR is out of reach"),
        (["encode", "talk.wav", "--tokens", "9"], 1, "1 to 4"),
        (["encode", "talk.wav", "--tokens", "--perception", "1"], 2, "perception"),
        (["encode", "none.wav", "--tokens"], 1, "none.wav: no such file"),
        (["encode", "none.m4a", "--tokens"], 1, "none.m4a"),
        (["encode", ".", "--tokens", "-o", "x.tlc"], 1, "folder"),
        (["encode", "note.xyz", "--tokens"], 1, "note.xyz"),
        (["encode", "empty.wav", "--tokens"], 1, "empty.wav"),
        (["encode", "nan.wav", "--tokens"], 1, "not finite"),
        (["encode", "talk.wav", "--tokens", "-o", "no/such/x.tlc"], 1, "no/such"),
        (["encode", "-", "--tokens"], 1, "-o"),
        (["decode", "none.tlc"], 1, "none.tlc"),
        (["decode", "note.xyz"], 1, "note.xyz: not a .tlc file"),
        (["decode", "empty.wav", "-o", "y.wav"], 1, "empty.wav: not a .tlc file"),
        (["info", "note.xyz"], 1, "not a .tlc file"),
        (["frobnicate"], 2, "invalid choice"),
    ],
)
def test_errors_name_the_cause_and_leave_nothing_behind(folder, run, arguments, code, words):
    (folder / "note.xyz").write_text("a note")
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write("nan.wav", np.full(100, np.nan, np.float32), 16000, "FLOAT")
    before = left(folder)
    got, shown, error = run(*arguments)
    assert (got, shown) == (code, "")
    assert words in error and "Traceback" not in error
    assert left(folder) == before


def test_model_that_is_not_there_is_named(folder, capsys):
    assert cli.main(["encode", "talk.wav", "--tokens", "--model", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_the_enhancer_can_be_left_out(folder, run):
    assert run("encode", "talk.wav", "--kbps", "40", "--perception", "1", "-o", "shaped.tlc")[0] == 0
    for name, options in (("enhanced.wav", []), ("plain.wav", ["--plain"])):
        assert run("decode", "shaped.tlc", "-o", name, *options)[0] == 0
    enhanced, plain = (soundfile.read(folder / name)[0] for name in ("enhanced.wav", "plain.wav"))
    assert enhanced.shape == plain.shape and not np.array_equal(enhanced, plain)


def test_damaged_file_needs_lenient(folder, run):
    assert run("encode", "talk.wav", "--step", 300)[0] == 0
    data = bytearray((folder / "talk.tlc").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "talk.tlc").write_bytes(data)
    code, _, error = run("decode", "talk.tlc", "-o", "back.wav")
    assert code == 1 and "talk.tlc: packet 1 of 1" in error and "--lenient" in error
    assert not (folder / "back.wav").exists()
    assert run("decode", "talk.tlc", "-o", "back.wav", "--lenient")[0] == 0
    assert soundfile.info("back.wav").frames == 19200


def test_recording_without_samples(folder, run):
    soundfile.write("nothing.wav", np.zeros(0, np.float32), 16000)
    assert run("encode", "nothing.wav", "--snr", 20)[0] == 0
    assert run("decode", "nothing.tlc", "-o", "back.wav")[0] == 0
    assert soundfile.info("back.wav").frames == 0


def test_evaluate_measures_the_file(folder, run):
    code, shown, _ = run("evaluate", "talk.wav", "--snr", 20, "--json")
    report = json.loads(shown)
    assert code == 0
    assert report["files"][0]["snr"] == pytest.approx(20, abs=0.1)
    assert report["mean"]["kbps"] == pytest.approx(8 * report["files"][0]["bytes"] / 1.2 / 1000)
    assert {"si_sdr", "pesq_wb", "stoi"} <= set(report["mean"])


def test_bench_shows_both_modes_and_streaming(run):
    code, shown, _ = run("bench", "--seconds", 2)
    assert code == 0
    assert [line.split()[0] for line in shown.splitlines()] == [
        "--step",
        "--step",
        "--snr",
        "--tokens",
        "--tokens",
        "tokens,",
    ]


def test_a_target_out_of_reach_is_a_warning_that_names_the_file(folder, run):
    code, _, error = run("encode", "talk.wav", "--snr", 200)
    assert code == 0 and "telucodec: talk.wav: 200.00 dB SNR is out of reach" in error
    assert (folder / "talk.tlc").exists()

"""Devices, pipes, full disks, several inputs and any name."""

import json
import os
import resource
import stat
import subprocess
import sys
import threading
import wave

import pytest

from tests.codec.cli.command import left, process


@pytest.fixture
def device(folder):
    """Makes a device of the kind of /dev/null (minor 3) or /dev/full (7) that may be lost."""

    def make(name, minor):
        try:
            os.mknod(name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            os.close(os.open(name, os.O_WRONLY))
        except OSError:
            pytest.skip("devices can be made by root alone")
        return folder / name

    return make


def test_device_is_written_to_and_not_replaced(device, run):
    null, full = device("null", 3), device("full", 7)
    assert run("encode", "talk.wav", "--tokens")[0] == 0
    for command in (["encode", "talk.wav", "--tokens"], ["decode", "talk.tlc"]):
        for target, code in ((null, 0), (full, 1)):
            got, _, error = run(*command, "-o", target)
            assert (got, "No space" in error) == (code, code == 1)
            assert stat.S_ISCHR(target.stat().st_mode)


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_output_that_does_not_fit_is_an_error_and_leaves_nothing(folder, models, run, command):
    assert run("encode", "talk.wav", "--step", 300)[0] == 0
    source = {"encode": ["talk.wav", "--step", "300"], "decode": ["talk.tlc"]}[command]
    before = left(folder)
    limited = process(
        command,
        *source,
        "-o",
        "big",
        "--model",
        models,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert limited.returncode == 1 and "Traceback" not in limited.stderr
    assert limited.stderr.startswith("telucodec: ")
    assert left(folder) == before


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_a_folder_that_is_missing_is_named_with_the_remedy(folder, run, command):
    assert run("encode", "talk.wav", "--step", 300)[0] == 0
    source = {"encode": ["talk.wav", "--step", "300"], "decode": ["talk.tlc"]}[command]
    code, _, error = run(command, *source, "-o", "no/where/x")
    assert code == 1 and error == "telucodec: no/where: no such folder; make it first\n"


def test_full_standard_output_is_an_error(folder, models):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        command = [
            sys.executable,
            "-m",
            "telucodec.cli",
            "encode",
            "talk.wav",
            "--tokens",
            "-o",
            "-",
            "--model",
            str(models),
        ]
        failed = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert failed.returncode != 0 and "No space" in failed.stderr


@pytest.fixture
def several(folder):
    """Five recordings, the third of them bad."""
    for name in "abcde":
        (folder / f"{name}.wav").write_bytes((folder / "talk.wav").read_bytes() if name != "c" else b"bad")
    return [f"{name}.wav" for name in "abcde"]


def test_a_bad_input_does_not_keep_the_others_from_being_done(folder, run, several):
    code, _, error = run("encode", *several, "-o", "coded/", "--tokens", 1)
    assert code == 1 and "4 of 5 inputs done" in error and "c.wav" in error
    assert left(folder / "coded") == ["a.tlc", "b.tlc", "d.tlc", "e.tlc"]
    (folder / "coded/b.tlc").write_bytes(b"bad")
    coded = [f"coded/{name}.tlc" for name in "abde"]
    code, _, error = run("decode", *coded, "-o", "back/")
    assert code == 1 and "b.tlc: not a .tlc file" in error
    assert left(folder / "back") == ["a.wav", "d.wav", "e.wav"]
    code, shown, error = run("evaluate", *several, "--tokens", 1)
    assert code == 1 and "c.wav" in error and "e.wav" in shown and "mean" in shown


def test_fail_fast_stops_at_the_first_bad_input(folder, run, several):
    code, _, error = run("encode", *several, "-o", "coded/", "--tokens", 1, "--fail-fast")
    assert code == 1 and "c.wav" in error
    assert left(folder / "coded") == ["a.tlc", "b.tlc"]


def test_a_pipe_is_read_as_standard_input_is(folder, models):
    """As a shell's `telucodec encode <(cat talk.wav)`, with a stereo recording, which is read twice."""
    reading, writing = os.pipe()
    feeder = threading.Thread(target=lambda: [os.write(writing, (folder / "talk.wav").read_bytes()), os.close(writing)])
    feeder.start()
    name = f"/dev/fd/{reading}"
    done = process("encode", name, "-o", "x.tlc", "--step", 300, "--model", models, pass_fds=[reading], text=True)
    os.close(reading)
    feeder.join()
    assert done.returncode == 0, done.stderr
    same = process("encode", "talk.wav", "--step", 300, "--model", models)
    assert same.returncode == 0 and (folder / "x.tlc").read_bytes() == (folder / "talk.tlc").read_bytes()


def test_a_pipe_needs_an_output(folder, run):
    os.mkfifo("pipe.wav")
    code, _, error = run("encode", "pipe.wav", "--step", 300)
    assert code == 1 and "pipe.wav needs an output: -o FILE" in error


def test_a_recording_that_ends_early_is_coded_as_far_as_it_goes_with_a_word(folder, run):
    whole = (folder / "talk.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    code, _, error = run("encode", "cut.wav", "--step", 300)
    assert code == 0 and "telucodec: cut.wav: ends early: its header promises 1.2 s, and 0.6 s are there" in error
    assert json.loads(run("info", "cut.tlc", "--json")[1])["samples"] == pytest.approx(9600, abs=20)


@pytest.mark.parametrize("name", ["ఆట" * 40 + ".wav", "a\u2028b\x85c.wav", os.fsdecode(b"caf\xe9.wav")])
def test_any_name_can_be_coded(folder, run, name):
    (folder / "talk.wav").rename(folder / name)
    assert run("encode", name, "--step", 300)[0] == 0
    assert run("decode", name[:-4] + ".tlc", "--force")[0] == 0
    with wave.open(str(name)) as decoded:
        assert decoded.getnframes() == 19200

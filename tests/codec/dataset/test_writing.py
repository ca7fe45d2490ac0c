import io
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import soundfile

from telucodec import dataset
from telucodec.cli import main
from telucodec.errors import DatasetError
from tests.codec.dataset.conftest import RATE, contents


def test_every_recording_is_there_with_the_tokens_of_the_codec(telu, recordings, tmp_path):
    summary = dataset.write(telu, recordings, tmp_path / "out", shard_size=3)
    found = list(dataset.samples(tmp_path / "out"))
    names = ["0.wav", "1.wav", "2.wav", "3.wav", "4.wav", "deep/er/తెలుగు.wav", "deep/talk.a.flac"]
    assert [description["source"] for description, _ in found] == names
    audio, _ = soundfile.read(recordings / "2.wav", dtype="int16")
    assert np.array_equal(found[2][1], telu.tokenize(audio))
    assert found[2][0]["seconds"] == len(audio) / RATE
    assert summary["recordings"] == 7 and summary["shards"] == 3 and not summary["rejected"]
    assert summary == json.loads((tmp_path / "out" / "dataset.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file_format", ["webdataset", "parquet"])
def test_a_dataset_in_the_folder_of_its_recordings_can_be_continued(telu, recordings, tmp_path, file_format):
    (tmp_path / "talk.wav").write_bytes((recordings / "1.wav").read_bytes())
    for _ in range(2):
        summary = dataset.write(telu, tmp_path, tmp_path / "tokens", num_codebooks=1, file_format=file_format)
        assert summary["recordings"] == 1 and not summary["rejected"]


def test_statistics_are_those_of_the_tokens(telu, recordings, tmp_path):
    summary = dataset.write(telu, recordings, tmp_path / "out", num_codebooks=2, shard_size=3)
    tokens = np.concatenate([values for _, values in dataset.samples(tmp_path / "out")], axis=1)
    assert summary["frames"] == tokens.shape[1] and summary["num_codebooks"] == len(tokens) == 2
    assert (summary["frame_rate"], summary["codebook_size"], summary["bits_per_frame"]) == (50, 64, 12)
    bits = [telu.token_bits(values).sum() for _, values in dataset.samples(tmp_path / "out")]
    assert summary["bits_per_frame_in_a_file"] == pytest.approx(sum(bits) / tokens.shape[1], abs=0.01)
    share = np.unique(tokens[1], return_counts=True)[1] / tokens.shape[1]
    assert summary["perplexity"][1] == pytest.approx(np.exp(-np.sum(share * np.log(share))), abs=0.06)


def test_shards_are_webdataset_tar_files(telu, recordings, tmp_path):
    dataset.write(telu, recordings, tmp_path / "out", shard_size=5)
    with tarfile.open(tmp_path / "out" / "tokens-000001.tar") as tar:
        assert tar.getnames() == [f"{n:09d}.{kind}" for n in (5, 6) for kind in ("tokens.npy", "json")]
        values = np.load(io.BytesIO(tar.extractfile("000000006.tokens.npy").read()))
    assert values.dtype == np.uint16 and values.shape[0] == 4


def test_a_recording_that_cannot_be_read_is_named_and_the_others_are_there(models, recordings, tmp_path, capsys):
    broken = tmp_path / "in"
    broken.mkdir()
    (broken / "good.wav").write_bytes((recordings / "1.wav").read_bytes())
    (broken / "bad.wav").write_bytes(b"RIFF, but no more")
    out = tmp_path / "out"
    assert main(["tokenize", str(broken), "-o", str(out), "--model", str(models)]) == 1
    assert "1 recordings are not in the dataset" in capsys.readouterr().err
    assert [description["source"] for description, _ in dataset.samples(out)] == ["good.wav"]
    (rejected,) = json.loads((out / "dataset.json").read_text())["rejected"]
    assert rejected["source"] == "bad.wav" and "bad.wav" in rejected["reason"]


def test_what_is_no_whole_recording_is_left_out_and_named(telu, recordings, tmp_path):
    folder = tmp_path / "in"
    (folder / "__MACOSX").mkdir(parents=True)
    good = (recordings / "1.wav").read_bytes()
    for name in ("good.wav", "._good.wav", "__MACOSX/good.wav"):
        (folder / name).write_bytes(good)
    (folder / "cut.wav").write_bytes(good[: len(good) // 2])
    (folder / os.fsdecode(b"caf\xe9.wav")).write_bytes(good)
    (folder / "gone.wav").symlink_to("nowhere.wav")
    (folder / "linked").symlink_to(recordings)
    summary = dataset.write(telu, folder, tmp_path / "out")
    assert summary["recordings"] == 1 + 7
    rejected = {one["source"]: one["reason"] for one in summary["rejected"]}
    assert set(rejected) == {"cut.wav", "caf\\xe9.wav", "gone.wav"}
    assert "ends early" in rejected["cut.wav"] and "rename it" in rejected["caf\\xe9.wav"]


def test_killed_it_goes_on_and_ends_with_the_same_bytes(telu, models, recordings, tmp_path):
    dataset.write(telu, recordings, tmp_path / "whole", shard_size=1)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "telucodec.cli", "tokenize", str(recordings), "-o", str(out), "--shard-size", "1"]
    process = subprocess.Popen([*command, "--model", str(models)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (out / "tokens-000001.tar").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    if not (out / "dataset.json").exists():
        with pytest.raises(DatasetError, match="run the same command again"):
            next(dataset.samples(out))
    subprocess.run([*command, "--model", str(models)], check=True, capture_output=True)
    assert contents(out) == contents(tmp_path / "whole")


def test_a_finished_shard_is_not_made_again(telu, recordings, tmp_path):
    out = tmp_path / "out"
    dataset.write(telu, recordings, out, shard_size=3)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("tokens-*")}
    (out / "tokens-000001.json").unlink()
    dataset.write(telu, recordings, out, shard_size=3)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("tokens-*")}
    assert {name for name in before if before[name] != after[name]} == {"tokens-000001.tar", "tokens-000001.json"}


def test_a_full_disk_leaves_no_half_shard(models, recordings, tmp_path):
    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "telucodec.cli",
        "tokenize",
        str(recordings),
        "-o",
        str(out),
        "--model",
        str(models),
    ]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files)
    assert done.returncode == 1 and done.stderr.strip().endswith("File too large")
    assert os.listdir(out) == ["plan.json"]


def test_a_folder_with_another_dataset_is_left_alone(telu, recordings, tmp_path):
    out = tmp_path / "out"
    dataset.write(telu, recordings, out)
    before = contents(out)
    with pytest.raises(DatasetError, match="other num_codebooks"):
        dataset.write(telu, recordings, out, num_codebooks=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match="not empty"):
        dataset.write(telu, recordings, tmp_path / "mine")
    assert contents(out) == before


@pytest.mark.parametrize(("folder", "said"), [("none", "no such folder"), (".", "no recordings")])
def test_a_folder_without_recordings_is_refused(telu, tmp_path, folder, said):
    with pytest.raises(DatasetError, match=said):
        dataset.write(telu, tmp_path / folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_archives_are_named(models, recordings, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.tar.gz").write_bytes(b"x")
    command = ["tokenize", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(models)]
    said = "1 archives are not looked into, such as"
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "no recordings in it" in error and said in error
    (tmp_path / "in" / "1.wav").write_bytes((recordings / "1.wav").read_bytes())
    assert main(command) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if said in line]
    assert warning.startswith("telucodec: ")

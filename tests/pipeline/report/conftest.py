"""A run whose page the tests of this folder share."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from dvc.repo import Repo

from pipeline.common import files
from pipeline.common.yaml12 import parse
from pipeline.report import __main__ as report
from pipeline.training.tokens import token_config
from telucodec.networks import runtime
from telucodec.networks.tokens.model import TokenCodec
from tests.pipeline.conftest import ROOT, SMALL, change_params

POINTS = {"tokens": ["tokens_1", "tokens_4", "tokens_kbps_2"], "waveform": ["snr_15", "perception_1_kbps_6.5"]}
HEARD = {"tokens_4": 1.25, "perception_1_kbps_6.5": 2.75}  # what a judge says
KBPS = {"tokens": 2.0, "waveform": 6.5}
SNR = {"a.wav": 3.0, "b.wav": 9.5, "c.wav": 12.25, "<i>d.wav": 7.0, "e.wav": float("nan")}  # dB, highest rate of tokens
SECONDS = 0.6


@pytest.fixture(scope="package")
def run(tmp_path_factory, spoken):
    """A folder with what the stages before leave, and its page. Tokens are untrained, the waveform model is the shipped one."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("DVC_ROOT", "DVC_EXP_NAME", "GIT_DIR"):
            patch.delenv(name, raising=False)
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(ROOT / name, name)
        settings = change_params(folder, {**SMALL, "evaluate.kbps": [6.5]})
        write_models(settings)
        write_results(spoken)
        subprocess.run(["git", "init", "-q"], check=True)
        Repo.init().close()
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run([*git, "add", "params.yaml", "dvc.yaml", "metrics"], check=True)
        subprocess.run([*git, "commit", "-qm", "the run before"], check=True)
        settings = change_params(folder, {"loss.mse_weight": 0.125})
        files.write_json(files.METRICS / "tokens" / "evaluate.json", evaluation("tokens", better=1.5))
        report.main(settings)
        yield folder, settings


def write_models(settings) -> None:
    torch.manual_seed(0)
    (files.EXPORT / "tokens").mkdir(parents=True)
    TokenCodec(token_config(settings)).save(files.EXPORT / "tokens")
    runtime.complete(files.EXPORT / "tokens", "tokens")
    shutil.copytree(ROOT / "codec" / "weights" / "waveform", files.EXPORT / "waveform")


def evaluation(model: str, better: float = 0.0) -> dict:
    means = {"si_sdr": 4.0, "pesq_wb": 2.0, "stoi": 0.8, "range_ratio": 1.0, "level_bias_4000": -6.25}
    points = {
        point: {"kbps": 2.0 + number, "snr": 5.0 + number + better, **means}
        for number, point in enumerate(POINTS[model])
    }
    judged = {point: {"distillmos": HEARD[point], "judged_clips": 3} for point in points.keys() & HEARD.keys()}
    original = {"distillmos": 3.4, "judged_clips": 3}
    return {
        "clips": len(SNR),
        "original": original,
        **{point: points[point] | judged.get(point, {}) for point in points},
    }


def write_results(spoken) -> None:
    folder = files.SHARDS / "test"
    folder.mkdir(parents=True)
    length, clips = round(SECONDS * 16000), []
    for number, clip in enumerate(SNR):
        with (folder / "00000.pcm").open("ab") as file:
            file.write((32767 * spoken(SECONDS, number)).astype("<i2").tobytes())
        clips.append({"clip": clip, "shard": "00000.pcm", "offset": number * length, "length": length, "scale": 1.0})
    (folder / "index.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    for model, points in POINTS.items():
        rows = [
            {
                "clip": clip,
                "speaker": "s",
                "seconds": SECONDS,
                "point": point,
                "kbps": KBPS[model],
                "snr": snr,
                "si_sdr": 1.0,
            }
            | {"pesq_wb": 1.5, "stoi": 0.7}
            for clip, snr in SNR.items()
            for point in points
        ]
        files.write_csv(files.EVALUATION / f"{model}.csv", rows, list(rows[0]))
        files.write_json(files.METRICS / model / "evaluate.json", evaluation(model))
    files.write_json(
        files.METRICS / "discover.json", {"data": {"hours": 0.5, "clips": 9, "speakers": 3, "rejected": {"total": 1}}}
    )
    files.write_json(files.METRICS / "peers.json", {"opus": [{"kbps": 6.0, "snr": 8.0, "pesq_wb": 2.5, "stoi": 0.9}]})
    gate = {"snr": {"value": 6.0, "wanted": 20.0, "met": False}}
    files.write_json(files.METRICS / "gates.json", {"met": 0, "missed": 1, "end, epoch 15": gate})
    files.write_json(
        files.METRICS / "bound.json", {"variable_rate": [{"kbps": 2.0, "snr": 9.0}, {"kbps": 4.0, "snr": 15.0}]}
    )
    files.write_text(
        files.REJECTED, "# Rejected\n\n## data: 1 of 10 files\n\n### silent (1)\n\n- `<script>.wav`: RMS -80 dBFS\n"
    )
    files.write_text(files.NEAR_DUPLICATES, "# Same\n\n- `<b>.mp3` (test) sounds like `a.wav` (train)\n")
    declared = parse(Path("dvc.yaml").read_text())["plots"]
    columns: dict[str, list[str]] = {}
    for plot in (plot for one in declared for plot in one.values()):
        for file, names in plot["y"].items():
            columns.setdefault(file, [plot["x"] if isinstance(plot["x"], str) else plot["x"][file]])
            columns[file] += [names] if isinstance(names, str) else names
    for file, (x, *names) in columns.items():
        rows = [{x: row, **{name: row + place for place, name in enumerate(names)}} for row in range(3)]
        files.write_csv(Path(file), rows, [x, *dict.fromkeys(names)])
    books = {
        f"{name}_{number}": value for number in (1, 2, 3) for name, value in (("perplexity", 24.0), ("dead", 0.25))
    }
    books |= {"perplexity": 24.0, "perplexity_lowest": 24.0}
    files.write_csv(files.PLOTS / "tokens" / "statistics.csv", [{"epoch": 0, **books}], ["epoch", *books])

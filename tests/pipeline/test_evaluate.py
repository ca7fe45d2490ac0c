import csv
import json

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch

from codec import load
from codec.tokens.model import TokenCodec
from pipeline import discover, evaluate, export, files, params, preprocess, results, train
from pipeline.shards import Shards
from pipeline.stage import StageError


@pytest.fixture(scope="module")
def trained(tmp_path_factory, spoken):
    """A workspace in which a tiny codec has been trained; tests of this module share it."""
    from tests.pipeline.conftest import ROOT, SMALL, change_params

    folder = tmp_path_factory.mktemp("trained")
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for speaker in range(10):
        (folder / "recordings" / f"speaker{speaker}").mkdir(parents=True)
        for take in range(2):
            soundfile.write(
                folder / "recordings" / f"speaker{speaker}" / f"{take}.wav", spoken(1.5, 9 * speaker + take), 16000
            )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        settings = change_params(folder, {**SMALL, "data.root": "recordings"})
        for stage in (discover, preprocess):
            stage.main(settings)
        for model in ("tokens", "waveform"):
            for stage in (train, evaluate, export):
                stage.main(settings, model)
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def test_metrics_hold_every_measure_at_every_rate(here):
    metrics = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())
    assert metrics["clips"] == len(Shards(files.SHARDS / "test"))
    for count, kbps in ((1, 0.5), (4, 2.0)):
        row = metrics[f"codebooks_{count}"]
        assert 0.5 * kbps < row["kbps"] < kbps + 0.3  # 100 frames a second, at most 5 bits a code, header and checksums
        for name in ("snr", "si_sdr", "segmental_snr", "pesq_wb", "stoi", "mel_distance", "range_ratio", "output_mean"):
            assert np.isfinite(row[name])
    assert metrics["codebooks_4"]["snr"] > metrics["codebooks_1"]["snr"] > 0
    assert metrics["codebooks_1"]["codebooks"] == 1 and 1 < metrics["shared_1.5"]["codebooks"] < 4
    assert 1.0 < metrics["shared_1.5"]["kbps"] <= 1.5 and metrics["shared_1.5"]["snr"] > metrics["codebooks_1"]["snr"]


def test_the_validation_split_is_only_printed(here, capsys):
    before = (files.METRICS / "tokens" / "evaluate.json").read_bytes()
    evaluate.main(params.load(), "tokens", "validation")
    printed = capsys.readouterr().out
    assert {line.split()[0] for line in printed.splitlines()} == {"codebooks_1", "codebooks_4", "shared_1.5"}
    assert (files.METRICS / "tokens" / "evaluate.json").read_bytes() == before
    [row] = [line.split() for line in printed.splitlines() if line.startswith("codebooks_4 ")]
    tested = json.loads(before)["codebooks_4"]
    of_test = f"{tested['kbps']:.2f}", f"{tested['snr']:.3g}"
    assert (row[1], row[4]) != of_test  # these are other clips


def test_the_clip_table_agrees_with_the_codec(here):
    with (files.EVALUATION / "tokens.csv").open() as file:
        rows = list(csv.DictReader(file))
    shards, codec = Shards(files.SHARDS / "test"), TokenCodec.load(files.MODELS / "tokens")
    assert len(rows) == 3 * len(shards)
    import torch

    audio = torch.from_numpy(shards.clip(0))[None]
    output = codec.decode(codec.encode(audio, 4), audio.shape[1])
    wanted = 10 * np.log10(float(audio.square().sum() / (audio - output).square().sum()))
    (row,) = [row for row in rows if row["clip"] == shards.clips[0]["clip"] and row["point"] == "codebooks_4"]
    assert float(row["snr"]) == pytest.approx(wanted, abs=0.01)
    metrics = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())
    mean = np.mean([float(row["snr"]) for row in rows if row["point"] == "codebooks_4"])
    assert metrics["codebooks_4"]["snr"] == pytest.approx(mean, rel=1e-4)


def test_undefined_measures_are_left_out_of_means():
    rows = [
        {"clip": "a", "point": "codebooks_8", "snr": 4.0, "pesq_wb": float("nan")},
        {"clip": "b", "point": "codebooks_8", "snr": 6.0, "pesq_wb": 2.0},
    ]
    assert evaluate.summarise(rows, ["codebooks_8"]) == {
        "codebooks_8": {"snr": 5.0, "pesq_wb": 2.0, "pesq_wb_clips": 1}
    }
    assert evaluate.summarise(rows[:1], ["codebooks_8"]) == {"codebooks_8": {"snr": 4.0, "pesq_wb_clips": 0}}


def test_evaluation_is_repeatable_to_the_bit(here):
    before = (files.METRICS / "tokens" / "evaluate.json").read_bytes(), (files.EVALUATION / "tokens.csv").read_bytes()
    evaluate.main(params.load(), "tokens")
    assert (
        (files.METRICS / "tokens" / "evaluate.json").read_bytes(),
        (files.EVALUATION / "tokens.csv").read_bytes(),
    ) == before


def test_the_result_table_shows_what_was_reached(here, capsys):
    results.main()
    shown = capsys.readouterr().out
    snr = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())["codebooks_4"]["snr"]
    assert f"{snr:.2f}" in shown and "export" in shown


@pytest.mark.parametrize(("batch", "frames"), [(1, 3), (3, 50)])
def test_export_holds_a_working_onnx_codec_of_any_batch_and_length(here, batch, frames):
    encoder, decoder = (
        onnxruntime.InferenceSession(files.EXPORT / "tokens" / f"{name}.onnx") for name in ("encoder", "decoder")
    )
    codec = TokenCodec.load(files.EXPORT / "tokens")
    audio = np.tile(Shards(files.SHARDS / "test").clip(0)[: 160 * frames], (batch, 1))

    def zeros(session):
        return {
            value.name: np.zeros([batch, *value.shape[1:]], np.float32)
            for value in session.get_inputs()
            if value.name not in ("audio", "codes")
        }

    padded = np.pad(audio, ((0, 0), (0, 160)))
    (codes,) = encoder.run(["codes_4"], {"audio": padded, **zeros(encoder)})
    assert codes.shape == (batch, frames + 1, 4)
    assert np.array_equal(codes.transpose(0, 2, 1), codec.encode(torch.from_numpy(audio)).numpy())
    (output,) = decoder.run(["audio"], {"codes": codes, **zeros(decoder)})
    expected = codec.decode(torch.from_numpy(codes.transpose(0, 2, 1).copy()), audio.shape[1]).numpy()
    assert np.abs(output[:, 160:] - expected).max() < 1e-4


def test_the_model_card_gives_the_measured_figures(here):
    card = (files.EXPORT / "tokens" / "README.md").read_text(encoding="utf-8")
    metrics = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())["codebooks_4"]
    assert f"| `--tokens 4` | {metrics['kbps']:.2f} | 4.00 | {metrics['snr']:.2f} |" in card
    assert "recordings" in card and "{" not in card


def test_an_export_that_differs_is_refused_and_nothing_is_written(here, tmp_path, monkeypatch):
    def another_codec(codec, folder):
        torch.manual_seed(1)
        codec.quantizer.codebooks += torch.randn_like(codec.quantizer.codebooks)
        export_onnx(TokenCodec.load(files.MODELS / "tokens"), folder)

    export_onnx = export.export_onnx
    before = sorted(path.name for path in (files.EXPORT / "tokens").iterdir())
    stamp = (files.EXPORT / "tokens" / "encoder.onnx").stat().st_mtime_ns
    monkeypatch.setattr(export, "export_onnx", another_codec)
    with pytest.raises(StageError, match="other codes than PyTorch"):
        export.main(params.load(), "tokens")
    assert sorted(path.name for path in (files.EXPORT / "tokens").iterdir()) == before
    assert (files.EXPORT / "tokens" / "encoder.onnx").stat().st_mtime_ns == stamp
    assert not [path for path in files.EXPORT.iterdir() if path.name.startswith(".tokens")]


def test_the_waveform_codec_meets_the_snr_it_is_asked_for_and_its_rate_is_the_files(here):
    with (files.EVALUATION / "waveform.csv").open() as file:
        rows = list(csv.DictReader(file))
    asked = [row for row in rows if row["point"] == "snr_15"]
    assert len(asked) == len(Shards(files.SHARDS / "test"))
    for row in asked:
        assert float(row["snr"]) == pytest.approx(15, abs=0.1)
    audio = Shards(files.SHARDS / "test").clip(0)
    data = load(files.EXPORT).encode(audio, snr=15)
    assert float(asked[0]["kbps"]) == pytest.approx(8 * len(data) / len(audio) * 16, rel=1e-4)
    trained = json.loads((files.METRICS / "waveform" / "train.json").read_text())
    assert trained["after_training"]["kbps_at_15_db"] < trained["before_training"]["kbps_at_15_db"]


def test_weights_that_allow_inexact_sums_are_not_exported(here, monkeypatch):
    monkeypatch.setattr(export, "EXACT_LIMIT", 1000)
    before = (files.EXPORT / "waveform" / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(StageError, match="sums beyond"):
        export.main(params.load(), "waveform")
    assert (files.EXPORT / "waveform" / "model.safetensors").stat().st_mtime_ns == before

import copy
import csv
import json
import math
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from huggingface_hub import ModelCard
from safetensors.numpy import load_file, save_file

from pipeline import discover, evaluate, export, judges, preprocess, train
from pipeline.common import files, params
from pipeline.common.shards import Shards
from pipeline.common.stage import StageError
from pipeline.results import summary
from telucodec import OperatingPoint, load
from telucodec.errors import OutOfReachWarning
from telucodec.networks.runtime import complete
from telucodec.networks.tokens.model import TokenCodec
from tests.codec.configurations import quantizer_config, vocoder_config
from tests.pipeline.conftest import ROOT, SMALL, change_params
from tests.pipeline.test_compare import Clips


@pytest.fixture(scope="module")
def trained(tmp_path_factory, spoken):
    """A workspace in which a tiny codec has been trained; tests of this module share it."""
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
            train.main(settings, model)
            if model == "waveform":
                train.main(settings, "enhancer")
            for stage in (evaluate, export):
                stage.main(settings, model)
        export.main(settings, "hf")
    return folder


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


def test_metrics_hold_every_measure_at_every_rate(here):
    metrics = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())
    assert metrics["clips"] == len(Shards(files.SHARDS / "test"))
    for count, kbps in ((1, 0.5), (4, 2.0)):
        row = metrics[f"tokens_{count}"]
        assert 0.5 * kbps < row["kbps"] < kbps + 0.3  # 100 frames a second, at most 5 bits a code, header and checksums
        for name in ("snr", "si_sdr", "segmental_snr", "pesq_wb", "stoi", "mel_distance", "range_ratio", "output_mean"):
            assert np.isfinite(row[name])
    assert metrics["tokens_4"]["snr"] > metrics["tokens_1"]["snr"] > 0
    assert metrics["tokens_1"]["codebooks"] == 1 and 1 < metrics["tokens_kbps_1.5"]["codebooks"] < 4
    assert (
        1.0 < metrics["tokens_kbps_1.5"]["kbps"] <= 1.5
        and metrics["tokens_kbps_1.5"]["snr"] > metrics["tokens_1"]["snr"]
    )


def test_the_validation_split_is_only_printed(here, capsys):
    before = (files.METRICS / "tokens" / "evaluate.json").read_bytes()
    evaluate.main(params.load(), "tokens", "validation")
    printed = capsys.readouterr().out
    assert {line.split()[0] for line in printed.splitlines()} == {"tokens_1", "tokens_4", "tokens_kbps_1.5"}
    assert (files.METRICS / "tokens" / "evaluate.json").read_bytes() == before
    [row] = [line.split() for line in printed.splitlines() if line.startswith("tokens_4 ")]
    tested = json.loads(before)["tokens_4"]
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
    (row,) = [row for row in rows if row["clip"] == shards.clips[0]["clip"] and row["point"] == "tokens_4"]
    assert float(row["snr"]) == pytest.approx(wanted, abs=0.01)
    metrics = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())
    mean = np.mean([float(row["snr"]) for row in rows if row["point"] == "tokens_4"])
    assert metrics["tokens_4"]["snr"] == pytest.approx(mean, rel=1e-4)


def test_undefined_measures_are_left_out_of_means():
    rows = [
        {"clip": "a", "point": "tokens_8", "snr": 4.0, "pesq_wb": math.nan},
        {"clip": "b", "point": "tokens_8", "snr": 6.0, "pesq_wb": 2.0},
    ]
    assert evaluate.summarise(rows) == {"tokens_8": {"snr": 5.0, "pesq_wb": 2.0, "pesq_wb_clips": 1}}
    assert evaluate.summarise(rows[:1]) == {"tokens_8": {"snr": 4.0, "pesq_wb_clips": 0}}


def test_means_of_judges_say_how_many_clips_they_heard():
    rows = [
        {"clip": "a", "point": "tokens_8", "snr": 4.0, "visqol": 2.0, "speaker_similarity": 0.5},
        {"clip": "b", "point": "tokens_8", "snr": 6.0},
        {"clip": "c", "point": "tokens_8", "snr": 8.0, "visqol": math.nan, "speaker_similarity": 0.7},
    ]
    means = evaluate.summarise(rows)["tokens_8"]
    assert means.pop("speaker_similarity") == pytest.approx(0.6)
    assert means == {"snr": 6.0, "visqol": 2.0, "visqol_clips": 1, "judged_clips": 2}


class Passing:
    """A codec that gives back what it is given, at 8 kbit/s, which it says is not 6.5."""

    sample_rate = 16000

    def encode(self, audio, **asked):
        if asked.get("kbps") == 6.5:
            warnings.warn("6.50 kbps is out of reach", OutOfReachWarning, stacklevel=1)
        self.audio = audio
        return bytes(len(audio) // 16)

    def decode(self, data):
        return self.audio


@pytest.fixture
def passed(spoken, tmp_path, monkeypatch):
    """Evaluates five clips with that codec, in a new folder; returns rows and summary."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evaluate, "workers", lambda: ThreadPoolExecutor(1))
    clips = Clips([spoken(1.5, seed) for seed in range(5)])

    def run(**changes):
        settings = params.load(ROOT / "params.yaml").evaluate.model_copy(update=changes)
        points = [OperatingPoint(snr=30), OperatingPoint(kbps=6.5, perception=1), OperatingPoint(kbps=10, perception=1)]
        rows = evaluate.score(Passing(), clips, points, settings)
        return rows, evaluate.summarise(rows)

    return run


def test_where_a_target_is_out_of_reach_the_nearest_is_measured_and_marked(passed):
    rows, summary = passed(judges=[])
    [missed] = {row["missed"] for row in rows if "missed" in row}
    assert missed == "6.50 kbps is out of reach"
    assert summary["perception_1_kbps_6.5"]["missed_clips"] == 5
    assert summary["perception_1_kbps_6.5"]["kbps"] == pytest.approx(8.0)
    assert "missed_clips" not in summary["snr_30"]
    evaluate._write("waveform", rows, summary, 5, "snr_30")
    with (files.EVALUATION / "waveform.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["missed"] for row in table if row["point"] == "perception_1_kbps_6.5"] == [missed] * 5
    with (files.PLOTS / "waveform" / "snr_by_rate.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3


def test_judges_hear_some_clips_at_some_points_and_the_originals(passed):
    rows, summary = passed(judges=["speaker"], judged_points=["snr_30"], judged_clips=3)
    heard = {(row["clip"], row["point"]) for row in rows if "speaker_similarity" in row}
    assert heard == {(f"{clip}.wav", point) for clip in (0, 2, 4) for point in ("snr_30", "original")}
    assert summary["snr_30"]["judged_clips"] == 3 and summary["snr_30"]["speaker_similarity"] == pytest.approx(1)
    assert summary["original"].keys() == {"speaker_similarity", "judged_clips"}
    assert "judged_clips" not in summary["perception_1_kbps_10"]
    assert all(abs(summary[point]["level_bias_500"]) < 1e-6 for point in ("snr_30", "perception_1_kbps_10"))


def test_judges_that_are_not_installed_end_the_stage_before_it_begins(here, monkeypatch):
    monkeypatch.setitem(judges.JUDGES, "visqol", judges.JUDGES["visqol"]._replace(modules=("not_there",)))
    settings = params.load()
    asked = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"judges": ["visqol"]})})
    with pytest.raises(StageError, match=r"visqol needs not_there.*pip install.*-S 'evaluate\.judges=\[\]'"):
        evaluate.main(asked, "tokens")


def test_judged_points_that_are_not_evaluated_are_skipped(passed):
    rows, summary = passed(judges=["speaker"], judged_points=["tokens_8", "snr_30"], judged_clips=1)
    assert [row["point"] for row in rows if "speaker_similarity" in row] == ["original", "snr_30"]
    assert "tokens_8" not in summary


@pytest.mark.parametrize(("codebooks", "counts"), [(12, [1, 2, 8]), (8, [1, 2, 8]), (6, [1, 2, 6]), (2, [1, 2])])
def test_what_is_evaluated_fits_the_codebooks_of_the_model(codebooks, counts):
    settings = params.load(ROOT / "params.yaml").evaluate
    settings = settings.model_copy(update={"num_codebooks": [8, 2, 1, 1], "shared_kbps": [2.0, 1.0]})
    points = evaluate.points(settings, "tokens", SimpleNamespace(num_codebooks=codebooks))
    wanted = [f"tokens_{count}" for count in counts]
    assert [point.name for point in points] == [*wanted, "tokens_kbps_1", "tokens_kbps_2"]
    assert evaluate.shown_point(points) == wanted[-1]


def test_what_the_waveform_codec_is_evaluated_at():
    settings = params.load(ROOT / "params.yaml").evaluate
    settings = settings.model_copy(update={"snr": [30.0, 15.0], "kbps": [10.0, 6.5], "perception": 0.5})
    points = evaluate.points(settings, "waveform", SimpleNamespace())
    assert [point.name for point in points] == ["snr_15", "snr_30", "perception_0.5_kbps_6.5", "perception_0.5_kbps_10"]
    assert evaluate.shown_point(points) == "snr_30"


def test_evaluation_is_repeatable_to_the_bit(here):
    before = (files.METRICS / "tokens" / "evaluate.json").read_bytes(), (files.EVALUATION / "tokens.csv").read_bytes()
    evaluate.main(params.load(), "tokens")
    assert (
        (files.METRICS / "tokens" / "evaluate.json").read_bytes(),
        (files.EVALUATION / "tokens.csv").read_bytes(),
    ) == before


def test_the_result_table_shows_what_was_reached(here, capsys):
    summary.main()
    shown = capsys.readouterr().out
    snr = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())["tokens_4"]["snr"]
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
    metrics = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())["tokens_4"]
    assert f"| `--tokens 4` | {metrics['kbps']:.2f} | 4.00 | {metrics['snr']:.2f} |" in card
    assert "recordings" in card and "{" not in card


def test_an_export_that_differs_is_refused_and_nothing_is_written(here, monkeypatch):
    def of_another_codec(network):
        torch.manual_seed(1)
        other = copy.deepcopy(network)
        other.quantizer.codebooks += torch.randn_like(other.quantizer.codebooks)
        return encoder_graph(other)

    encoder_graph = export.encoder_graph
    before = sorted(path.name for path in (files.EXPORT / "tokens").iterdir())
    stamp = (files.EXPORT / "tokens" / "encoder.onnx").stat().st_mtime_ns
    monkeypatch.setattr(export, "encoder_graph", of_another_codec)
    with pytest.raises(StageError, match=r"encoder\.onnx gives other codes than the codec"):
        export.main(params.load(), "tokens")
    assert sorted(path.name for path in (files.EXPORT / "tokens").iterdir()) == before
    assert (files.EXPORT / "tokens" / "encoder.onnx").stat().st_mtime_ns == stamp
    assert not [path for path in files.EXPORT.iterdir() if path.name.startswith(".tokens")]


def test_the_folder_for_transformers_codes_as_the_codec_does(here):
    verified = json.loads((files.METRICS / "hf" / "export.json").read_text())
    assert verified["verified_frames"] > 100 and verified["largest_difference"] < 1e-4
    card = ModelCard.load(files.EXPORT / "hf" / "README.md")
    metrics = json.loads((files.METRICS / "tokens" / "evaluate.json").read_text())["tokens_4"]
    assert (card.data.library_name, card.data.pipeline_tag, card.data.language) == (
        "transformers",
        "audio-to-audio",
        ["te"],
    )
    # The test's own recordings have no licence that anybody knows.
    assert card.data.license == "other" and "`recordings`" in card.text and card.data.datasets is None
    [snr] = [each for each in card.data.eval_results if each.metric_name.startswith("SNR dB, tokens_4,")]
    assert snr.metric_value == metrics["snr"] and f"{metrics['kbps']:.2f} kbit/s" in snr.metric_name


def test_an_export_for_transformers_with_other_codes_is_refused(here, tmp_path, spoken, monkeypatch):
    write = export.hub_folder.write

    def written(source, target):
        write(source, target)
        weights = load_file(target / "model.safetensors")
        weights["quantizer.codebooks"] = weights["quantizer.codebooks"][:, ::-1].copy()
        save_file(weights, target / "model.safetensors", {"format": "pt"})

    monkeypatch.setattr(export.hub_folder, "write", written)
    with pytest.raises(StageError, match="other codes than the codec"):
        export.export_hub(files.EXPORT / "tokens", tmp_path, spoken(1, 1))


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


def test_graphs_of_vocoder_tokens_agree_with_the_codec(tmp_path, spoken):
    torch.manual_seed(0)
    quantizer = quantizer_config(num_codebooks=6, codebook_size=64)
    network = TokenCodec(vocoder_config(channels=24, decoder_layers=2, quantizer=quantizer))
    network.fit(torch.stack([torch.from_numpy(spoken(4, seed)) for seed in range(3)]))
    with torch.no_grad():
        for weight in network.decoder.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    network.save(tmp_path)
    complete(tmp_path, "tokens")
    verified = export.export_tokens(tmp_path, spoken(3, seed=7))
    assert verified["verified_frames"] > 100 and verified["largest_difference"] < 1e-4

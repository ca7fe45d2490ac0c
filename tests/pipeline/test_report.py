"""The page of a run: its contents, and that a browser without a network shows, plays and sorts it."""

import base64
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from dvc.repo import Repo

from pipeline.common import files
from pipeline.common.stage import StageError
from pipeline.common.yaml12 import parse
from pipeline.report import __main__ as report
from pipeline.report.charts import Series, chart
from pipeline.results import offline_plots
from pipeline.training.tokens import token_config
from telucodec.networks import runtime
from telucodec.networks.tokens.model import TokenCodec
from telucodec.operating_point import OperatingPoint
from tests.pipeline.conftest import ROOT, SMALL, change_params

POINTS = {"tokens": ["tokens_1", "tokens_4", "tokens_kbps_2"], "waveform": ["snr_15", "perception_1_kbps_6.5"]}
KBPS = {"tokens": 2.0, "waveform": 6.5}
SNR = {"a.wav": 3.0, "b.wav": 9.5, "c.wav": 12.25, "<i>d.wav": 7.0, "e.wav": float("nan")}  # dB, highest rate of tokens
ORDER = ["c.wav", "b.wav", "<i>d.wav", "a.wav", "e.wav"]
SECONDS = 0.6


@pytest.fixture(scope="module")
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
    means = {"si_sdr": 4.0, "pesq_wb": 2.0, "stoi": 0.8, "range_ratio": 1.0}
    points = {
        point: {"kbps": 2.0 + number, "snr": 5.0 + number + better, **means}
        for number, point in enumerate(POINTS[model])
    }
    return {"clips": len(SNR), **points}


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


class Page(HTMLParser):
    """Tags with their attributes, and the text without those of style and script."""

    def __init__(self, folder: Path):
        super().__init__()
        self.source = (folder / report.PAGE).read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self._within = ""
        self.feed(self.source)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._within = tag

    def handle_data(self, data):
        if self._within not in {"style", "script"}:
            self.words.append(data)


@pytest.fixture(scope="module")
def page(run):
    return Page(run[0])


def test_the_page_needs_nothing_outside_itself(page):
    linked = [value for _, attributes in page.tags for name, value in attributes.items() if name in {"src", "href"}]
    assert linked and all(value.startswith(("data:", "#")) for value in linked)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", page.source)


def test_every_clip_to_hear_is_the_audio_of_its_codec(page):
    players = [attributes["src"] for tag, attributes in page.tags if tag == "audio"]
    original, *_ = sounds = [
        soundfile.read(io.BytesIO(base64.b64decode(player.split(",")[1])), dtype="float32") for player in players
    ]
    versions = (
        len(sounds) // 3
    )  # the original, tokens, waveform with perception beside Opus, waveform at 15 dB beside Opus
    assert versions == 6
    assert all(rate == 16000 and len(audio) == round(SECONDS * 16000) for audio, rate in sounds)
    noise = original[0] - sounds[versions - 2][0]
    assert 10 * np.log10(np.square(original[0]).sum() / np.square(noise).sum()) == pytest.approx(15, abs=0.2)
    assert len([tag for tag, attributes in page.tags if tag == "img"]) == len(players)


def test_best_median_and_worst_are_those_by_snr_and_undefined_clips_stay_out(page):
    clips = re.findall(r"(Best|Median|Worst) (\S+), 0\.6 s", page.text)
    assert clips == [("Best", "c.wav"), ("Median", "<i>d.wav"), ("Worst", "a.wav")]


def test_other_codecs_and_the_bound_stand_beside_ours(page):
    for name in ("Tokens", "Waveform, perception 1", "Opus", "Bound, variable rate"):
        assert f">{name}</span>" in page.source


def test_every_plot_of_dvc_yaml_is_drawn(run, page):
    declared = [title for one in parse((run[0] / "dvc.yaml").read_text())["plots"] for title in one]
    drawn = [title for title in declared if f"<figcaption>{title}</figcaption>" in page.source]
    assert drawn == [title for title in declared if title != "SNR by rate"]  # which is at the top, with other codecs
    assert sum(tag == "svg" for tag, _ in page.tags) == 3 + len(drawn)


def test_what_changed_since_the_last_commit(page):
    assert "the run before" in page.text
    assert re.search(r"loss\.mse_weight 0\.5 0\.125 -0\.375", page.text)
    assert re.search(r"tokens_4\.snr 6 7\.5 \+1\.5", page.text)
    assert "+1.5 since the last commit" in page.text


def test_gates_codebooks_rejected_files_and_parameters(page):
    assert "end, epoch 15" in page.text and "missed" in page.text
    assert "24 (75 %), 25.0 % dead" in page.text
    assert "`<script>.wav`: RMS -80 dBFS" in page.text
    assert "mse_weight: 0.125" in page.text


def test_what_is_missing_is_named_and_the_old_page_stays(run, monkeypatch):
    folder, settings = run
    monkeypatch.chdir(folder)
    before = (folder / report.PAGE).read_bytes()
    monkeypatch.setattr(files, "EVALUATION", Path("nowhere"))
    with pytest.raises(StageError, match=r"nowhere/tokens\.csv.*dvc"):
        report.main(settings)
    assert (folder / report.PAGE).read_bytes() == before


@pytest.mark.parametrize(
    "names, played",
    [
        (
            ["tokens_1", "tokens_3", "snr_15", "snr_37", "perception_1_kbps_6.5"],
            ["tokens_3", "perception_1_kbps_6.5", "snr_37"],
        ),
        (["snr_15", "snr_25"], ["snr_25"]),
        (["tokens_kbps_2"], ["tokens_kbps_2"]),
    ],
)
def test_the_points_to_play_suit_any_set_of_operating_points(names, played):
    points = [OperatingPoint.parse(name) for name in names]
    assert [point.name for point in report.points_to_play(points)] == played


def test_a_chart_leaves_out_what_is_undefined():
    nan = float("nan")
    drawn = chart([Series("one", [(1, 2), (2, nan), (3, 4), (4, 3)], marks=True)], "x", "y")
    (line,) = re.findall(r'class="line c0" d="([^"]*)"', drawn)
    assert line.count("M") == 2 and line.count("L") == 1 and drawn.count("<circle") == 3
    assert chart([Series("none", [(1, nan)])], "x", "y") == ""
    assert "nan" not in chart([Series("one point", [(1, 1)], marks=True)], "x", "y", log_x=True)


def browser_program() -> str | None:
    """A Chromium on this machine; None: Playwright's own, which is downloaded where it is not there."""
    names = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    with playwright.sync_playwright() as driver:
        program = browser_program()
        if program is None and not os.path.exists(driver.chromium.executable_path):
            command = [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]
            with contextlib.suppress(subprocess.TimeoutExpired):  # launching says what is missing
                subprocess.run(command, capture_output=True, timeout=120)
        try:
            chromium = driver.chromium.launch(
                executable_path=program, args=["--autoplay-policy=no-user-gesture-required", "--mute-audio"]
            )
        except playwright.Error as error:
            pytest.skip(
                f"no Chromium, and none could be installed; `apt-get install chromium` brings one: {error}"[:400]
            )
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Opens a page as on a phone; at the end it must have said nothing and asked for nothing."""
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    complaints, requests = [], []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))

    def open_page(path: Path):
        page.goto(path.as_uri())
        return page

    yield open_page
    assert not complaints
    assert [request for request in requests if not request.startswith("data:")] == [page.url]
    page.close()


def test_in_a_browser_players_play_one_at_a_time(run, opened):
    played, playing = opened(run[0] / report.PAGE).evaluate(
        """async () => {
          const players = [...document.querySelectorAll("audio")], played = [];
          for (const audio of players) {
            await audio.play();
            while (!audio.currentTime) await new Promise(requestAnimationFrame);
            played.push(audio.currentTime);
            audio.currentTime = 0;  // where the next version starts
          }
          return [played, players.filter((audio) => !audio.paused).length];
        }"""
    )
    assert len(played) == 18 and min(played) > 0 and playing <= 1


def test_in_a_browser_the_table_sorts_and_nothing_is_wider_than_a_phone(run, opened):
    page = opened(run[0] / report.PAGE)
    heading = page.locator("#scores thead button", has_text="SNR dB").first
    names = page.locator("#scores tbody:not([hidden]) > tr > :first-child")
    heading.click()
    assert names.all_inner_texts() == ORDER
    heading.click()
    assert names.all_inner_texts() == ORDER[::-1]
    page.select_option("#point", "snr_15")
    assert page.locator("#scores tbody:visible").get_attribute("data-point") == "snr_15"
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_dvc_plots_draws_offline(run, opened, monkeypatch):
    monkeypatch.chdir(run[0])
    offline_plots.main()
    subprocess.run([sys.executable, "-m", "dvc", "plots", "show", "-o", "drawn"], check=True, capture_output=True)
    page = opened(run[0] / "drawn" / "index.html")
    page.wait_for_selector("canvas, svg.marks")

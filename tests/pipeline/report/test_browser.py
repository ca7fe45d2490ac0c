"""A browser without a network shows, plays and sorts the page of a run."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.report import __main__ as report
from pipeline.results import offline_plots

ORDER = ["c.wav", "b.wav", "<i>d.wav", "a.wav", "e.wav"]


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

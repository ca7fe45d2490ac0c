"""The page as people use it: by keyboard and by name, with files and with the microphone, on a phone."""

import json
import re
import sys

import numpy as np
import pytest
import soundfile

import telucodec
from pipeline import peers
from pipeline.peers import lyra
from telucodec.codec import SHIPPED
from telucodec.files.header import read_header
from tests.conftest import speech
from tools import demo, demo_examples, demo_speed

READY = re.compile("^Ready: .* seconds of speech at .* kbit/s\\.$")


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "talk.wav"
    soundfile.write(path, speech(1.2), 16000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def telu():
    return telucodec.load()


DROP = """([name, bytes]) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(bytes)], name));
  document.querySelector("h1").dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
}"""


def ready(page):
    page.get_by_role("status").get_by_text(READY).wait_for()


def saved(page, button):
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return download.value


# The first of all: the focus is where a page begins.
def test_by_keyboard_a_recording_becomes_the_file_that_python_writes(opened, talk, telu):
    with opened.expect_file_chooser() as chooser:
        for name in ("Record", "Open a file"):
            opened.keyboard.press("Tab")
            assert opened.evaluate("document.activeElement.textContent.trim()") == name
        opened.keyboard.press("Enter")
    chooser.value.set_files(talk)
    ready(opened)
    for _ in ("whether to listen", "what is coded", "what it should reach", "how much of it"):
        opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowLeft")  # from 8 codebooks to 7
    ready(opened)
    assert opened.get_by_text("350 a second").is_visible()
    download = saved(opened, "Save .tlc")
    assert download.suggested_filename == "talk.tlc"
    audio, _ = soundfile.read(talk, dtype="float32")
    assert download.path().read_bytes() == telu.encode(audio, tokens=7)


def test_what_is_heard_changes_in_the_middle(opened, talk):
    opened.set_input_files("#file", talk)
    ready(opened)
    play, original = opened.get_by_role("button", name="Play"), opened.get_by_role("radio", name="Original")
    assert opened.get_by_role("radio", name="Coded").is_checked()
    play.focus()
    opened.keyboard.press("Space")
    opened.get_by_role("button", name="Pause").wait_for()
    original.check(force=True)
    opened.wait_for_function("document.querySelector('#position').value > 0.2")
    opened.get_by_role("button", name="Play").wait_for()  # at the end it stops by itself
    assert original.is_checked()
    assert opened.get_by_role("slider", name="Position").get_attribute("aria-valuetext") == "1.2 of 1.2 seconds"


def test_a_dropped_file_is_heard_though_a_packet_is_damaged(opened, telu):
    data = bytearray(telu.encode(speech(2.1), step=300, perception=1))
    data[60] ^= 1
    opened.evaluate(DROP, ["talk.tlc", list(data)])
    ready(opened)
    assert opened.get_by_role("alert").get_by_text("1 of 2 packets are damaged or missing").is_visible()
    assert opened.get_by_role("img", name="Spectrogram of the coded speech").is_visible()
    assert not opened.get_by_role("img", name="Spectrogram of the original").is_visible()
    assert not opened.get_by_role("radio", name="Original").is_visible()


def test_other_formats_are_resampled_and_what_is_no_recording_is_refused(opened, telu, tmp_path):
    stereo = np.stack([speech(0.5, rate=44100), np.zeros(22050, np.float32)], 1)
    soundfile.write(tmp_path / "stereo.flac", stereo, 44100)
    opened.set_input_files("#file", tmp_path / "stereo.flac")
    ready(opened)
    assert opened.get_by_text("Ready: 0.5 seconds").is_visible()
    opened.evaluate(DROP, ["empty.tlc", list(telu.encode(np.zeros(0, np.float32), tokens=1))])
    opened.get_by_role("status").get_by_text("The file holds no speech.").wait_for()
    (tmp_path / "notes.mp3").write_text("no sound")
    opened.set_input_files("#file", tmp_path / "notes.mp3")
    opened.get_by_role("status").get_by_text("Your browser cannot read this file.").wait_for()


def test_a_waveform_file_and_its_sound(opened, talk, telu):
    opened.set_input_files("#file", talk)
    ready(opened)
    opened.get_by_role("radio", name="Waveform", exact=True).check(force=True)
    ready(opened)
    opened.get_by_role("slider", name="Rate").fill("12")
    ready(opened)
    assert opened.get_by_text("Quantiser step").is_visible()
    data = saved(opened, "Save .tlc").path().read_bytes()
    audio, _ = soundfile.read(talk, dtype="float32")
    assert data == telu.encode(audio, kbps=12, perception=1)
    heard, rate = soundfile.read(saved(opened, "Save as WAV").path(), dtype="float32")
    assert rate == 16000 and np.abs(heard - telu.decode(data)).max() < 1.1 / 32768


def test_tokens_at_a_rate_and_a_waveform_at_an_snr(opened, talk, telu):
    opened.set_input_files("#file", talk)
    audio, _ = soundfile.read(talk, dtype="float32")
    opened.get_by_role("radio", name="Tokens", exact=True).check(force=True)
    opened.get_by_role("radio", name="Rate").check(force=True)
    opened.get_by_role("slider", name="Rate at most").fill("1.6")
    ready(opened)
    data = telu.encode(audio, tokens=0, kbps=1.6)
    assert saved(opened, "Save .tlc").path().read_bytes() == data
    _, mean = read_header(data)[0].settings
    assert opened.get_by_text(f"about {50 * mean} a second").is_visible()
    opened.get_by_role("radio", name="Waveform", exact=True).check(force=True)
    opened.get_by_role("radio", name="SNR").check(force=True)
    opened.get_by_role("checkbox", name="Hide the noise").uncheck()
    slider = opened.get_by_role("slider", name="Signal-to-noise ratio")
    slider.fill("12")
    ready(opened)
    assert slider.get_attribute("aria-valuetext") == "12 decibels"
    assert opened.locator("#figures").get_by_text(re.compile(r"^1[12]\.\d dB$")).is_visible()
    assert saved(opened, "Save .tlc").path().read_bytes() == telu.encode(audio, snr=12)


def test_what_is_chosen_is_seen_in_the_colours_of_the_system(opened):
    looks = "(label) => getComputedStyle(label.querySelector('span')).backgroundColor"
    opened.emulate_media(forced_colors="active")
    labels = opened.get_by_role("group", name="Whose speech").locator("label")
    assert len({label.evaluate(looks) for label in labels.all()}) == labels.count() == 2
    opened.emulate_media(forced_colors="none")


def test_examples_are_heard_beside_opus_and_say_where_they_are_from(opened):
    section = opened.get_by_role("region", name="Examples")
    assert section.get_by_text("Speech of this test. Opus is that of libopus 1.").is_visible()
    versions = section.get_by_role("group", name="How it is coded").get_by_role("radio")
    assert versions.count() == 7 and versions.first.is_checked()
    section.get_by_role("radio", name="Bela").check(force=True)
    for name in ("Tokens", "Waveform", "Opus"):
        section.get_by_role("radio", name=name).first.check()
        section.get_by_role("button", name="Hear it").click()
        section.get_by_role("button", name="Stop").wait_for()
        section.get_by_role("button", name="Hear it").wait_for()  # at the end it stops by itself
    assert section.locator("#example-state").text_content() == ""


def test_the_microphone_on_a_phone(new_page, address):
    phone = {"width": 390, "height": 844}
    page = new_page(viewport=phone, permissions=["microphone"], color_scheme="dark", has_touch=True)
    page.goto(address)
    page.get_by_role("button", name="Record").tap()
    page.get_by_role("button", name="Stop").wait_for()
    page.wait_for_timeout(700)  # of recording
    page.get_by_role("button", name="Stop").tap()
    ready(page)
    assert page.get_by_text("seconds, recorded").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    sizes = [box for button in page.get_by_role("button").all() if (box := button.bounding_box())]
    assert len(sizes) == 6 and all(box["height"] >= 44 for box in sizes)


def test_from_nothing_to_sound_the_page_loads_less_than_25_mb(browser, address, talk):
    run = demo_speed.cold(browser, address, talk, "Tokens")
    assert run.opened > 0 and run.heard > 0
    assert (SHIPPED / "tokens" / "model.safetensors").stat().st_size / 1e6 < run.megabytes < 25


def test_without_models_or_microphone_the_page_says_what_to_do(new_page, address, talk):
    page = new_page()
    page.route("**/models/**", lambda route: route.fulfill(status=404))
    page.goto(address)
    page.get_by_role("button", name="Record").click()
    page.get_by_role("status").get_by_text("Allow it, or open a file.").wait_for()
    page.set_input_files("#file", talk)
    page.get_by_role("status").get_by_text("make demo").wait_for()
    page.context.grant_permissions(["microphone"])
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Record", disabled=False).wait_for()
    assert "make demo" in page.locator("#status").text_content()


def test_the_command_copies_the_models_or_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(lyra.VARIABLE, raising=False)
    monkeypatch.setattr(demo, "PAGE", tmp_path)
    monkeypatch.setattr(demo_examples, "VOICES", dict(list(demo_examples.VOICES.items())[:1]))  # one is quicker
    monkeypatch.setattr(sys, "argv", ["demo", "--no-server"])
    demo.main()
    assert capsys.readouterr().out == f"{tmp_path} is complete\n"
    assert len(list((tmp_path / "models").rglob("model.safetensors"))) == 3
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "examples").iterdir()}
    assert 50_000 < sum(path.stat().st_size for path in made) < 350_000
    index = json.loads((tmp_path / "examples" / "examples.json").read_text())
    assert "espeak-ng" in index["source"] and index["rivals"][0].startswith("Opus is that of libopus 1.")
    demo.main()  # what is there is not made again
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "examples").iterdir()}
    monkeypatch.setattr(sys, "argv", ["demo", "--models", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match=r"none/waveform/model.safetensors: No such file or directory; .* --models"):
        demo.main()


def test_lyra_is_among_the_examples_where_it_is_installed(tmp_path, monkeypatch, spoken):
    code = peers.code
    monkeypatch.setattr(peers, "installed", lambda: ["opus", "lyra"])
    monkeypatch.setattr(
        peers,
        "code",
        lambda name, audio, kbps: peers.Coded(audio / 2, 200) if name == "lyra" else code(name, audio, kbps),
    )
    demo_examples.write(tmp_path / "examples", {"Anna": spoken(0.5)}, "Speech of this test", telucodec.load())
    index = json.loads((tmp_path / "examples" / "examples.json").read_text())
    assert index["rivals"][1:] == ["Lyra v2 has the networks of google/lyra (Apache-2.0)."]
    (heard,) = [version for version in index["clips"][0]["versions"] if version["name"] == "Lyra v2"]
    assert heard["kbps"] == 3.2 and (tmp_path / "examples" / heard["file"]).is_file()


def test_from_the_disk_the_page_asks_for_a_server(new_page):
    page = new_page()
    page.goto((demo.PAGE / "index.html").as_uri())
    assert page.get_by_text("Browsers run this page from a web server only").is_visible()

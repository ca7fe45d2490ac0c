"""The page codes while one speaks into the microphone of a real browser, which beeps."""

import re

import numpy as np
import pytest
import soundfile

import telucodec
from tests.conftest import speech
from tests.docs.demo.test_page import ready, saved
from tools import demo_speed

LSB = 1.1 / 32768  # of 16-bit samples, one of which is the rounding of the WAV file

# What the page encodes while one speaks and later, what the loudspeakers get, and how often a screen reader is told something.
WATCHED = """
window.Worker = class extends Worker {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", ({ data }) => {
      window.recorded = data.answer?.recording?.audio ?? window.recorded;
      window.coded = data.result ?? window.coded;
    });
  }
};
const { connect } = AudioNode.prototype;
AudioNode.prototype.connect = function (node, ...rest) {
  if (node instanceof AudioDestinationNode) {
    const { context } = this;
    window.heard = new AnalyserNode(context, { fftSize: 32768 });
    connect.call(this, window.heard);
  }
  return connect.call(this, node, ...rest);
};
window.loudest = () => {
  const samples = new Float32Array(heard.fftSize);
  heard.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
};
const { getUserMedia } = MediaDevices.prototype;
MediaDevices.prototype.getUserMedia = async function (wanted) {
  return (window.microphone = await getUserMedia.call(this, wanted));
};
addEventListener("DOMContentLoaded", () => {
  window.told = [];
  const status = document.getElementById("status");
  const all = { childList: true, characterData: true, subtree: true };
  new MutationObserver(() => told.push(status.textContent)).observe(status, all);
});
"""

RESAMPLED = """async ([start, end, samples, sizes]) => {
  const { Resampler } = await import("./page/resampler.js");
  const [audio, resampler, out] = [Float32Array.from(samples), new Resampler(start, end), []];
  let place = 0;
  for (const size of [...sizes, audio.length]) out.push(...resampler.push(audio.subarray(place, (place += size))));
  return [...out, ...resampler.finish()];
}"""

FETCHED = "performance.getEntriesByType('resource').map(({ name }) => name)"

# What a test sends is done in the decoder's thread whenever a hundredth of a second of speech comes, and in the thread of files
# before each of them.
FAULTY = {
    "live_worker.js": ("const samples = decoder.push(sent);", "self.fault?.(CodecError);"),
    "worker.js": ("progress(0);", "await self.fault?.(CodecError);"),
}
LISTENS = """new BroadcastChannel(self.location.pathname.split("/").pop()).onmessage = ({ data }) => {
  self.free?.();
  self.fault = new Function("CodecError", data);
};"""
WAITS = "return new Promise((free) => (self.free = free));"
SLOWLY = "for (const until = performance.now() + 20; performance.now() < until;);"
NO_MORE = "throw new CodecError('No more.');"


@pytest.fixture(scope="module")
def telu():
    return telucodec.load()


@pytest.fixture(scope="module")
def page(browser, address):
    """One page for all tests, so that the models are loaded once."""
    context = browser.new_context(permissions=["microphone"])
    context.add_init_script(WATCHED)
    page = context.new_page()
    page.set_default_timeout(120_000)
    complaints = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def answer(route):
        response = route.fetch()
        place, fault = FAULTY[route.request.url.rpartition("/")[2]]
        assert place in response.text()
        route.fulfill(response=response, body=response.text().replace(place, fault + place) + LISTENS)

    for name in FAULTY:
        page.route(f"**/page/{name}", answer)
    page.goto(address)
    yield page
    context.close()
    assert not complaints


@pytest.fixture(autouse=True)
def afresh(page):
    """The status of the test before is not taken for that of the next."""
    page.evaluate("told.splice(0)")


def fail(page, fault, worker="live_worker.js"):
    page.evaluate("([worker, fault]) => new BroadcastChannel(worker).postMessage(fault)", [worker, fault])


def record(page):
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Stop").wait_for()


def figure(page, term):
    """The number that stands beside a term, once there is one."""
    value = page.locator("#live div", has_text=term).get_by_role("definition").filter(has_text=re.compile(r"\d"))
    value.wait_for()
    return float(re.findall(r"[\d.]+", value.text_content())[0])


def recorded(page):
    """The samples that were encoded."""
    return np.array(page.evaluate("[...recorded]"), np.float32)


def is_pythons(page, audio, data, expected):
    """What is saved are the bytes `data`, and what is heard the samples `expected`."""
    assert saved(page, "Save .tlc").path().read_bytes() == data
    heard, _ = soundfile.read(saved(page, "Save as WAV").path(), dtype="float32")
    assert len(heard) == len(audio)
    assert np.abs(heard - expected[: len(audio)].clip(-1, 1)).max() < LSB  # beeps are loud
    assert page.get_by_role("img", name="Spectrogram of the original").is_visible()


def stream(telu, audio, **point):
    """Python's stream of samples, and what is heard in it."""
    encoder, decoder = telu.stream_encoder(**point), telu.stream_decoder()
    data = encoder.push(audio) + encoder.finish()
    return data, decoder.push(data)


def test_a_waveform_is_coded_while_one_speaks_and_is_ready_at_the_end(page, telu):
    page.get_by_role("radio", name="Waveform", exact=True).check(force=True)
    record(page)
    assert 0 < figure(page, "Rate so far") < 60  # with the header
    assert figure(page, "Of that, algorithmic") == 45
    assert figure(page, "From microphone to sound") > 45
    assert figure(page, "Computing per 15 ms") > 0
    page.get_by_role("button", name="Stop").click()
    ready(page)
    audio = recorded(page)
    is_pythons(page, audio, *stream(telu, audio, kbps=8, perception=1))
    assert not page.get_by_text("From microphone to sound").is_visible()
    assert len(page.evaluate("told")) < 8  # a screen reader is not told every figure
    page.get_by_role("slider", name="Rate").fill("12")  # it can be coded again, as a file
    page.get_by_text("Quantiser step").locator("..").get_by_text(re.compile(r"\d")).wait_for()
    assert saved(page, "Save .tlc").path().read_bytes() == telu.encode(audio, kbps=12, perception=1)


def test_tokens_are_heard_while_one_speaks_only_if_one_wants_that(page, telu):
    page.get_by_role("radio", name="Tokens", exact=True).check(force=True)
    ready(page)
    record(page)
    figure(page, "From microphone to sound")
    page.wait_for_timeout(300)
    assert page.evaluate("loudest()") == 0
    listen = page.get_by_role("checkbox", name="Listen while speaking (use headphones)")
    assert not listen.is_checked()
    listen.focus()
    page.keyboard.press("Space")
    page.wait_for_function("loudest() > 0.01")
    page.keyboard.press("Space")
    page.wait_for_function("loudest() < 1e-4")
    page.evaluate("microphone.getTracks()[0].dispatchEvent(new Event('ended'))")  # it is unplugged
    ready(page)
    audio = recorded(page)
    data = telu.encode(audio, tokens=8)
    is_pythons(page, audio, data, telu.decode(data))


def test_a_target_for_the_whole_recording_is_met_at_its_end(page):
    listen = page.get_by_role("checkbox", name="Listen while speaking")
    page.get_by_role("radio", name="Tokens", exact=True).check(force=True)
    page.get_by_role("radio", name="Rate").check(force=True)
    assert listen.is_disabled()
    record(page)
    page.get_by_role("status").get_by_text("It is coded when you stop").wait_for()
    page.wait_for_timeout(400)
    assert not page.get_by_text("From microphone to sound").is_visible()
    page.get_by_role("button", name="Stop").click()
    ready(page)
    assert page.get_by_text("seconds, recorded").is_visible()
    page.get_by_role("radio", name="Codebooks").check(force=True)
    assert listen.is_enabled()


def test_what_was_being_coded_does_not_take_the_place_of_a_recording(page, telu):
    ready(page)
    fail(page, WAITS, "worker.js")
    page.get_by_role("slider", name="Codebooks in each frame").fill("7")
    page.get_by_role("status").get_by_text("Encoding").wait_for()
    record(page)
    page.wait_for_timeout(400)  # of recording
    page.get_by_role("button", name="Stop").click()
    ready(page)
    audio = recorded(page)
    page.evaluate("window.coded = null")
    fail(page, "", "worker.js")  # what has waited is coded
    page.wait_for_function("window.coded")
    assert saved(page, "Save .tlc").path().read_bytes() == telu.encode(audio, tokens=7)
    page.get_by_role("slider", name="Codebooks in each frame").fill("8")
    page.get_by_text("400 a second").wait_for()


def test_a_device_that_is_too_slow_says_so_and_loses_nothing(page, telu):
    record(page)
    fail(page, SLOWLY)
    page.get_by_role("status").get_by_text("This device codes more slowly than you speak. Nothing is lost").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("status").get_by_text("Coding the rest").wait_for()
    page.get_by_role("button", name="Record", disabled=True).press("Enter")  # it would lose what is not coded
    ready(page)
    fail(page, "")
    audio = recorded(page)
    assert len(audio) > 16000
    data = telu.encode(audio, tokens=8)
    is_pythons(page, audio, data, telu.decode(data))


def test_however_many_threads_use_a_model_it_is_fetched_once(page):
    fetched = [url for context in (page, *page.workers) for url in context.evaluate(FETCHED)]
    assert len(page.workers) == 3  # the file's, and both ends of live coding
    models = [url.partition("/models/")[2] for url in fetched if "/models/" in url]
    assert len(models) == len(set(models)) and "tokens/model.safetensors" in models


def test_if_live_coding_fails_the_recording_goes_on_and_is_coded_later(page, telu):
    record(page)
    fail(page, NO_MORE)
    page.get_by_role("status").get_by_text("Coding failed, and is tried again when you stop. No more.").wait_for()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Stop").click()
    ready(page)
    data = saved(page, "Save .tlc").path().read_bytes()
    assert len(telu.decode(data)) > 4000


@pytest.mark.parametrize("start, end", [(44100, 16000), (48000, 16000), (16000, 44100)])
def test_resampled_in_pieces_a_tone_stays_itself_and_what_is_too_high_goes(page, start, end):
    time, expected = np.arange(start // 5) / start, np.arange(end // 5) / end
    audio = 0.5 * np.sin(2 * np.pi * 3000 * time) + (0.4 * np.sin(2 * np.pi * 12000 * time) if start > end else 0)
    pieces = page.evaluate(RESAMPLED, [start, end, audio.tolist(), [777] * 20])
    assert page.evaluate(RESAMPLED, [start, end, audio.tolist(), []]) == pieces and len(pieces) == len(expected)
    middle = slice(200, -200)
    error = np.array(pieces)[middle] - 0.5 * np.sin(2 * np.pi * 3000 * expected)[middle]
    assert np.abs(error).max() < 1e-4


def test_the_command_measures_what_live_coding_takes(page):
    assert all(seconds > 0 for seconds in demo_speed.live(page, speech(0.3), demo_speed.LIVE["tokens, 8 codebooks"]))

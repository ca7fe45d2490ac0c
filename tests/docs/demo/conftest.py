"""The page as a web server serves it below a path, in a browser that has no other host."""

import shutil
import threading

import pytest

import telucodec
from pipeline.peers import lyra
from telucodec.codec import SHIPPED
from tests.conftest import speech
from tools import demo, demo_examples


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    page = root / "below" / "a-path"
    shutil.copytree(demo.PAGE, page, ignore=shutil.ignore_patterns(demo.MODELS, "examples"))
    demo.copy_models(SHIPPED, page)
    clips = {"Anna": speech(0.6), "Bela": speech(0.5, seed=1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(lyra.VARIABLE, raising=False)
        demo_examples.write(page / "examples", clips, "Speech of this test", telucodec.load())
    with demo.server(root, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/below/a-path/"
        running.shutdown()


@pytest.fixture(scope="module")
def new_page(browser):
    """Makes pages, with the options of a browser's context, that wait as long as a busy machine needs."""
    pages = []

    def make(**options):
        pages.append(browser.new_page(**options))
        pages[-1].set_default_timeout(120_000)
        return pages[-1]

    yield make
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def opened(new_page, address):
    """The page, which compiles its code once for all tests that use it. At the end it must have reported no error and asked no
    other host for anything."""
    page = new_page()
    complaints, requests = [], []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    yield page
    assert not complaints
    assert not [request for request in requests if not request.startswith((address, "blob:", "data:"))]

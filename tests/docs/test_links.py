"""What the documentation refers to is there: pages, headings, files, names of Python, parameters."""

import importlib
import re
from pathlib import Path

import pytest

import telucodec
from pipeline.common import params
from tests.docs.pages import PAGES, ROOT, anchors, links, name, spans

SOURCES = re.compile(r"(codec|telucodec|pipeline|tests|tools|docs|metrics|plots)/[\w./*-]*")
PYTHON = re.compile(r"(telucodec|pipeline)(\.\w+)+")
METHOD = re.compile(r"telu\.(\w+)")
PARAMETER = re.compile(r"(\w+(?:\.\w+)+)(=.*)?")
FILES = ".py", ".json", ".yaml", ".csv", ".md", ".safetensors", ".zip"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in links(page):
        if not link.startswith(("https://", "http://")):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{link}: no such file"
            assert not anchor or anchor in anchors(target), f"{link}: no such heading; there are {anchors(target)}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_are_there(page):
    for span in spans(page):
        if SOURCES.fullmatch(span) and "NAME" not in span:
            assert list(ROOT.glob(span)), f"{span}: no such file"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_of_python_are_there(page):
    for span in spans(page):
        if match := METHOD.match(span):
            assert hasattr(telucodec.Codec, match[1]), f"{span}: Codec has no {match[1]}"
        elif PYTHON.fullmatch(span) and not span.endswith(FILES):
            resolve(span)


def resolve(dotted: str) -> object:
    """A module, or what is in one."""
    try:
        return importlib.import_module(dotted)
    except ModuleNotFoundError:
        module, _, attribute = dotted.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_parameters_are_there(page):
    keys = params.keys()
    sections = {key.partition(".")[0] for key in keys}
    for span in spans(page):
        match = PARAMETER.fullmatch(span)
        if match and match[1].partition(".")[0] in sections and not span.endswith(FILES):
            assert any(f"{key}.".startswith(f"{match[1]}.") for key in keys), f"{match[1]} is not a parameter"


def test_what_is_not_there_is_noticed(tmp_path: Path):
    with pytest.raises((AttributeError, ImportError)):
        resolve("telucodec.no_such_name")
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading: of `code` (twice)\n[there](page.md#a-heading-of-code-twice), [not](page.md#missing)\n"
    )
    assert anchors(page) == {"a-heading-of-code-twice"}
    assert links(page) == ["page.md#a-heading-of-code-twice", "page.md#missing"]

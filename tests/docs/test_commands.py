"""The commands in the documentation name only targets, stages, parameters, modules and options that there are."""

import re

import pytest

from telucodec.cli.arguments import EXAMPLES
from tests.docs import commands
from tests.docs.pages import PAGES, blocks, name, shell_lines, spans

LANGUAGES = {"python", "sh", "text"}
IN_BLOCKS = [
    (name(page), line)
    for page in PAGES
    for block in blocks(page)
    if block.language == "sh"
    for line in shell_lines(block)
]
IN_SPANS = [
    (name(page), span) for page in PAGES for span in spans(page) if span.split()[0] in commands.CHECKS and " " in span
]

IN_HELP = [
    (f"telucodec {command} --help", re.split(r"\s{2,}", line.strip())[0])  # after two spaces comes what the line does
    for command, text in EXAMPLES.items()
    for line in text.splitlines()
    if " telucodec " in line
]


@pytest.mark.parametrize("page, command", dict.fromkeys(IN_BLOCKS + IN_SPANS + IN_HELP))
def test_a_command_names_what_there_is(page, command):
    commands.check(command)


@pytest.mark.parametrize(
    "command",
    [
        "docker build --tag telucodec --file no-such.Dockerfile .",
        "docker run telucodec no-such-command",
        "make no-such-target",
        "make serve NO_SUCH_VARIABLE=1",
        "dvc repro no_such_stage",
        "dvc exp run train@no_such_model",
        "dvc exp run -S loss.no_such_weight=1",
        "dvc exp run -S loss.mse_weight=-1",
        "dvc exp run --no-such-option",
        "dvc no-such-command",
        "dvc exp run $(python -m pipeline.common.params no_such_preset)",
        "python -m pipeline.no_such_module",
        "python -m pipeline.flows train --no-such-option",
        "python -m pipeline.peers DIR no_such_codec@8",
        "NO_SUCH_VARIABLE=1 dvc repro",
        "pip install '.[no_such_extra]'",
        "prefect deployment run train-codec/no-such-deployment",
        "prefect worker start --pool no_such_pool",
        "telucodec no-such-command",
        "telucodec encode talk.wav --no-such-option",
        "no-such-program",
    ],
)
def test_a_wrong_name_is_noticed(command):
    with pytest.raises((AssertionError, ValueError)):
        commands.check(command)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_its_language(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))

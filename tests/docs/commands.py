"""Checks that a command of the documentation names only what there is: targets, stages, parameters, modules, options.

Nothing is run here. `check` raises AssertionError with the reason.
"""

import contextlib
import importlib.util
import io
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import yaml
from dvc.cli.parser import get_main_parser

from pipeline.common import params
from pipeline.common.yaml12 import parse
from pipeline.gpu.lanes import MODELS
from pipeline.judges import JUDGES
from pipeline.peers import PEERS
from telucodec.cli.arguments import parser as telucodec_parser
from telucodec.operating_point import OperatingPoint
from tests.docs.pages import ROOT, commands

SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")
ASSIGNMENT = re.compile(r"^[A-Z_]+=")
PLACEHOLDER = re.compile(r"^[A-Z]+(\.\.\.)?$")  # DIR, NAME...
KEYS = set(params.keys())
ELSEWHERE = {
    "cat",
    "cd",
    "cp",
    "export",
    "git",
    "id",
    "pre-commit",
    "sbatch",
    "versa-score",
    "wandb",
}  # programs without names of this repository


def check(command: str) -> None:
    """Check a line of shell: each of its commands, and those in `$(...)`."""
    for inner in SUBSTITUTION.findall(command):
        check(inner)
    for words in commands(SUBSTITUTION.sub("", command)):
        while words and ASSIGNMENT.match(words[0]):
            _check_variable(words.pop(0))
        if words and words[0] not in ELSEWHERE:
            assert words[0] in CHECKS, f"{words[0]!r}: add a check for this program to tests/docs/commands.py"
            CHECKS[words[0]](words[1:])


def _check_variable(assignment: str) -> None:
    variable = assignment.partition("=")[0]
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "pipeline").rglob("*.py"))
    assert any(f'"{variable}"' in source for source in sources), f"nothing reads the variable {variable}"


def _make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in arguments:
        variable, assigned, _ = word.partition("=")
        pattern = rf"^{variable} \?=" if assigned else rf"^{re.escape(word)}:"
        assert re.search(pattern, makefile, re.MULTILINE), f"the Makefile has no {word}"


def _dvc(arguments: list[str]) -> None:
    try:
        options = get_main_parser().parse_args(arguments)
    except BaseException as error:  # an error of DVC's own that is no Exception
        raise AssertionError(f"dvc {' '.join(arguments)}: DVC refuses it: {error}") from error
    for override in getattr(options, "set_param", None) or []:
        _check_override(override)
    if arguments[0] == "repro" or arguments[:2] == ["exp", "run"]:
        stages = set(_stages())
        for target in options.targets or []:
            assert target in stages, f"dvc.yaml has no stage {target}"


def _stages() -> list[str]:
    """All stages, and the groups that run for each model."""
    names = []
    for stage, content in yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"].items():
        names += [stage, *(f"{stage}@{key}" for key in content.get("foreach", ()))]
    return names


def _check_override(override: str) -> None:
    """KEY=VALUE, or KEY=VALUE,VALUE for a grid; placeholders stand for any value."""
    key, _, value = override.partition("=")
    if override == "KEY=VALUE":
        return
    assert key in KEYS, f"{key} is not a parameter"
    for one in [value] if value.startswith("[") else value.split(","):
        if not PLACEHOLDER.match(one):
            params.load_with({key: parse(one, "override")}, ROOT / "params.yaml")


def _python(arguments: list[str]) -> None:
    assert arguments[0] == "-m", f"python {arguments[0]}: examples run modules"
    module, *rest = arguments[1:]
    if module == "pytest":
        assert all((ROOT / path).exists() for path in rest), f"no tests in {rest}"
        return
    source = _source(module)
    if module == "pipeline.common.params":
        presets = params.load(ROOT / "params.yaml").presets
        source += " ".join(f'"{preset}"' for preset in presets)
    for word in rest:
        known = f'"{word}"' in source or (ROOT / word).exists() or PLACEHOLDER.match(word)
        if module in ("pipeline.peers", "pipeline.peers.losses", "pipeline.peers.pauses") and not known:
            codec = word.partition("@")[0]
            known = codec in PEERS or codec in JUDGES or OperatingPoint.parse(codec)
        elif module == "pipeline.gpu.bundle" and not known:
            known = word in MODELS
        elif module == "pipeline.flows" and "=" in word and not known:
            _check_override(word)
            known = True
        assert known or not re.match(r"-|[a-z_]+$", word), f"python -m {module} does not know {word}"


def _source(module: str) -> str:
    """The source of what `python -m MODULE` runs, with that of the package around it."""
    spec = importlib.util.find_spec(module)
    assert spec and spec.origin, f"there is no module {module}"
    if not spec.submodule_search_locations:
        source = Path(spec.origin).read_text(encoding="utf-8")
        assert "__main__" in source, f"{module} is not a command"
        return source
    main = Path(spec.origin).with_name("__main__.py")
    assert main.exists() or "__main__" in Path(spec.origin).read_text(encoding="utf-8"), f"{module} is not a command"
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(main.parent.glob("*.py")))


def _pip(arguments: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for word in arguments:
        for extra in re.findall(r"\[(.*)\]", word):
            missing = set(extra.split(",")) - set(project["optional-dependencies"])
            assert not missing, f"pyproject.toml has no extra {missing}"


def _prefect(arguments: list[str]) -> None:
    content = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    if arguments[:2] == ["deployment", "run"]:
        names = [f"{_flow(entry['entrypoint'])}/{entry['name']}" for entry in content["deployments"]]
        assert arguments[2] in names, f"prefect.yaml has no deployment {arguments[2]}"
    if "--pool" in arguments:
        pool = arguments[arguments.index("--pool") + 1]
        assert pool in {entry["work_pool"]["name"] for entry in content["deployments"]}, (
            f"prefect.yaml has no pool {pool}"
        )


def _flow(entrypoint: str) -> str:
    return entrypoint.rpartition(":")[2].replace("_", "-")


def _telucodec(arguments: list[str]) -> None:
    """The command and its options; whether the whole line works is seen by running it."""
    command, *rest = arguments
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            telucodec_parser().parse_args([command, "--help"])
        except SystemExit as ended:
            assert ended.code == 0, f"telucodec has no command {command}"
    known = set(re.findall(r"(?<![\w-])--?[a-z-]+", printed.getvalue()))
    for word in rest:
        assert not re.match("-.", word) or word in known, f"telucodec {command} has no option {word}"


def _docker(arguments: list[str]) -> None:
    """Build: the file is there. Run: an image that is built somewhere here, with a command that its file lets it have."""
    verb, *rest = arguments
    if verb == "build":
        assert (ROOT / (rest[rest.index("--file") + 1] if "--file" in rest else "Dockerfile")).is_file()
        assert rest[rest.index("--tag") + 1] in IMAGES, f"no image of that name: {rest}"
        return
    [place] = [number for number, word in enumerate(rest) if word in IMAGES]
    words = rest[place + 1 :]
    CHECKS[IMAGES[rest[place]] or words.pop(0)](words)


IMAGES = {"telucodec": "telucodec", "telucodec-pipeline": None}  # and the programs that they run without being asked
CHECKS: dict[str, Callable[[list[str]], None]] = {
    "docker": _docker,
    "dvc": _dvc,
    "make": _make,
    "pip": _pip,
    "prefect": _prefect,
    "python": _python,
    "telucodec": _telucodec,
    ".venv/bin/dvc": _dvc,
    ".venv/bin/python": _python,
}

"""The Dockerfiles name only what there is, copy all that a build needs, and keep to the usual rules. Docker itself is not run."""

import fnmatch
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from telucodec.codec import SHIPPED
from telucodec.files.header import VERSION
from telucodec.models import KINDS, ModelFolder
from tests.source_files import ROOT

FILES = "Dockerfile", "pipeline.Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def instructions(file: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile: keyword and rest, with continued lines joined."""
    text = "\n".join(line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#"))
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def copied(file: str) -> set[str]:
    """What is copied from the repository."""
    from_here = [rest.split() for word, rest in instructions(file) if word == "COPY" and "--from" not in rest]
    return {name for words in from_here for name in words[:-1]}


def sent() -> set[str]:
    """The tracked files that .dockerignore leaves: the last pattern that fits decides, and a folder stands for all in it."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]

    def ignored(path: str) -> bool:
        places = [path, *map(str, Path(path).parents)][:-1]
        fitting = [p for p in patterns if any(fnmatch.fnmatch(place, p.lstrip("!")) for place in places)]
        return bool(fitting) and not fitting[-1].startswith("!")

    return {path for path in TRACKED if not ignored(path)}


@pytest.mark.parametrize("file", FILES)
def test_what_is_copied_is_there_and_is_sent_to_docker(file):
    for name in copied(file):
        below = [path for path in sent() if path == name or path.startswith(f"{name}/")]
        assert below, f"{file} copies {name}"


def test_nothing_else_is_sent_to_docker():
    used = set().union(*map(copied, FILES))
    assert {path.split("/")[0] for path in sent()} == used


@pytest.mark.parametrize("file", FILES)
def test_all_that_the_wheel_is_built_of_is_copied(file):
    project = PROJECT["project"]
    needed = {"pyproject.toml", project["readme"], *project["license-files"], *_folders()}
    assert needed | {"constraints.txt"} == copied(file)


def _folders():
    return PROJECT["tool"]["setuptools"]["package-dir"].values()


def test_the_packages_are_all_that_there_are():
    """What pyproject.toml does not name, an image would not have."""
    listed = PROJECT["tool"]["setuptools"]["packages"]
    folders = {Path(path).parent for path in TRACKED if re.fullmatch(r"codec/(.*/)?__init__\.py", path)}
    assert sorted(listed) == sorted(
        str(folder).replace("codec", "telucodec", 1).replace("/", ".") for folder in folders
    )


@pytest.mark.parametrize("file", FILES)
def test_python_is_one_that_the_project_allows_and_ci_tries(file):
    bases = [rest.split()[0] for word, rest in instructions(file) if word == "FROM"]
    [version] = {re.fullmatch(r"python:(3\.\d+)(?:-slim)?", base)[1] for base in bases}  # no `latest`
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert int(version.split(".")[1]) >= int(lowest.split(".")[1])
    assert version in workflow["jobs"]["wheel"]["strategy"]["matrix"]["python"]
    assert bases[-1].endswith("-slim")


@pytest.mark.parametrize("file", FILES)
def test_the_last_stage_takes_what_the_build_made_and_runs_without_privileges(file):
    steps = instructions(file)
    *_, last = (number for number, (word, _) in enumerate(steps) if word == "FROM")
    [made] = re.findall(r"venv --without-pip (\S+)", "\n".join(rest for word, rest in steps[:last] if word == "RUN"))
    final = steps[last:]
    assert ("COPY", f"--from=build {made} {made}") in final
    assert any(word == "ENV" and f"PATH={made}/bin:$PATH" in rest for word, rest in final)
    assert [rest for word, rest in final if word == "USER"] == ["1000:1000"]
    assert not [rest for word, rest in final if word == "RUN" and "pip" in rest]


@pytest.mark.parametrize("file", FILES)
def test_installing_leaves_no_caches_and_keeps_to_the_versions_of_the_figures(file):
    runs = [rest for word, rest in instructions(file) if word == "RUN"]
    for command in re.split(r"&&", "&&".join(runs)):
        if " install " in command and "pip " in command:
            assert "--no-cache-dir" in command and "--constraint constraints.txt" in command
            for extra in re.findall(r"\.\[(\w+)\]", command):
                assert extra in PROJECT["project"]["optional-dependencies"]
        if "apt-get install" in command:
            assert "--no-install-recommends" in command and "rm -rf /var/lib/apt/lists/*" in "&&".join(runs)


def test_the_commands_of_the_images_exist():
    [entry] = [rest for word, rest in instructions("Dockerfile") if word == "ENTRYPOINT"]
    assert yaml.safe_load(entry) == list(PROJECT["project"]["scripts"])
    [command] = [rest for word, rest in instructions("pipeline.Dockerfile") if word == "CMD"]
    assert yaml.safe_load(command) == ["dvc", "repro"]


def test_the_page_says_which_models_come_with_the_package():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w{8})` \| (\w+) \| (\d+) \| \w+ \| comes with (\S+) \|$", page, re.MULTILINE)
    version = re.search(r'__version__ = "(.*)"', (ROOT / "codec" / "__init__.py").read_text())[1]
    shipped = {(ModelFolder(SHIPPED / kind, kind).id.hex()[:8], kind, str(VERSION), version) for kind in KINDS}
    assert set(rows) == shipped

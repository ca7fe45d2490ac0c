"""Which files of this repository a Python file imports, read from its syntax tree."""

import ast
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {"telucodec": "codec", "pipeline": "pipeline"}  # import name: folder


def source(module: str) -> str | None:
    """The file of a module, relative to the repository; None for modules from elsewhere."""
    package, _, rest = module.partition(".")
    if package not in PACKAGES:
        return None
    path = Path(PACKAGES[package], *rest.split(".")) if rest else Path(PACKAGES[package])
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if (ROOT / file).exists():
            return file.as_posix()
    return None


def module(file: str) -> str:
    """The import name of a file."""
    folder, *parts = Path(file).with_suffix("").parts
    [package] = [name for name, place in PACKAGES.items() if place == folder]
    return ".".join([package, *(part for part in parts if part != "__init__")])


@cache
def imported_modules(file: str) -> frozenset[str]:
    """The modules that a file imports, at any place in it. `from package import submodule` counts as the submodule."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}: relative imports are not used here"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if source(submodule) else node.module)
    return frozenset(found)


def imported(file: str) -> set[str]:
    """The files of this repository that a file imports."""
    return {path for name in imported_modules(file) if (path := source(name))}


def reached(start: Iterable[str], stop: Collection[str] = ()) -> set[str]:
    """All files that some files lead to, themselves included; what `stop` imports is not followed."""
    seen: set[str] = set()
    waiting = set(start)
    while waiting:
        file = waiting.pop()
        seen.add(file)
        waiting |= (set() if file in stop else imported(file)) - seen
    return seen


def python_files(folder: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py"))

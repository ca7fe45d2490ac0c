"""params.yaml, checked against `pipeline.common.sections`, and its presets as arguments of `dvc exp run`.

python -m pipeline.common.params             checks params.yaml
python -m pipeline.common.params h200        prints a preset as `-S KEY=VALUE` arguments
python -m pipeline.common.params --format    rewrites params.yaml in the form in which DVC writes it
"""

import argparse
import copy
import difflib
import json
import sys
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from pipeline.common.sections import Params
from pipeline.common.yaml12 import YamlError, parse

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PATH = Path("params.yaml")


class ParamsError(ValueError):
    """params.yaml cannot be read, or a value in it is not allowed; the message names the key and the allowed values."""


def load(path: str | Path = PATH) -> Params:
    """Read and check a parameter file.

    Raises:
        ParamsError: the file is missing or not YAML, a key is unknown or missing, a value is out of range, or a preset
            holds values that are not allowed. The message lists every fault.
    """
    raw = _read(path)
    params = _validate(raw, path)
    for name, overrides in params.presets.items():
        _validate(_merged(raw, overrides, f"{path}: presets.{name}"), f"{path}, preset {name}")
    return params


def load_with(overrides: Mapping[str, object], path: str | Path = PATH) -> Params:
    """A parameter file with other values for some dotted keys, as `dvc exp run -S` sets them.

    Raises:
        ParamsError: as `load`, and for an unknown key.
    """
    load(path)
    return _validate(_merged(_read(path), overrides, "overrides"), "overrides")


def differing(text: str, overrides: Mapping[str, object], path: str | Path = PATH) -> list[str]:
    """The keys whose values in the text of another parameter file are not those of `load_with`.

    Those that change no result do not count.

    Raises:
        ParamsError: as `load_with`, and if the text is no valid parameter file.
    """
    try:
        other = _validate(parse(text, "its parameters"), "its parameters")
    except YamlError as error:
        raise ParamsError(str(error)) from None
    mine = load_with(overrides, path)
    names = [name for name in keys() if not name.startswith(("tracking.", "cluster."))]
    return [name for name in names if attrgetter(name)(mine) != attrgetter(name)(other)]


def keys(model: type[BaseModel] = Params) -> list[str]:
    """The dotted keys of all parameters; presets are no parameters."""
    names = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names += [f"{name}.{key}" for key in keys(field.annotation)]
        elif model is not Params:
            names.append(name)
    return names


def reformat(path: str | Path = PATH) -> None:
    """Rewrite a parameter file with DVC's own writer, so that a later `dvc exp run -S` changes one line only."""
    from dvc.utils.hydra import apply_overrides  # takes a second to import

    apply_overrides(path, [])


def as_arguments(params: Params, preset: str) -> str:
    """A preset as `-S KEY=VALUE` arguments, ready for a shell.

    Raises:
        ParamsError: there is no such preset.
    """
    if preset not in params.presets:
        raise ParamsError(f"no preset {preset!r} in {PATH}; there are: {', '.join(params.presets) or 'none'}")
    return " ".join(f"-S {key}={json.dumps(value)}" for key, value in params.presets[preset].items())


def _read(path: str | Path) -> object:
    try:
        return parse(Path(path).read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run this in the folder that holds params.yaml") from None
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from None
    except YamlError as error:
        raise ParamsError(str(error)) from None


def _validate(raw: object, source: str | Path) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(fault) for fault in error.errors()]
        raise ParamsError(f"{source}:\n  " + "\n  ".join(lines)) from None


def _explain(fault: "ErrorDetails") -> str:
    """One fault as a sentence: the key, what is allowed, and what it got."""
    key = ".".join(str(part) for part in fault["loc"]) or "the file as a whole"
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed here: {', '.join(_keys_beside(fault['loc']))}"
    if fault["type"] == "missing":
        return f"{key}: missing"
    value = "" if fault["loc"] == () else f", got {fault['input']!r}"
    remedy = f"; to make it a string, write -S '{key}=\"...\"'" if fault["type"] == "string_type" else ""
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}{value}{remedy}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Params
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)


def _merged(raw: object, overrides: Mapping[str, object], source: str) -> object:
    """A copy of `raw` with dotted keys replaced."""
    merged = copy.deepcopy(raw)
    for key, value in overrides.items():
        *sections, field = key.split(".")
        inner = merged
        for section in sections:
            inner = inner.get(section) if isinstance(inner, dict) else None
        if key not in keys() or not isinstance(inner, dict) or field not in inner:
            near = difflib.get_close_matches(key, keys())
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(keys())}"
            raise ParamsError(f"{source}: {key} is not a parameter; {hint}")
        inner[field] = value
    return merged


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.common.params", description="Check or rewrite params.yaml."
    )
    parser.add_argument("preset", nargs="?", help="print this preset as arguments of `dvc exp run`")
    parser.add_argument("--format", action="store_true", help="rewrite params.yaml as DVC writes it")
    arguments = parser.parse_args()
    if arguments.format:
        reformat()
    params = load()
    print(as_arguments(params, arguments.preset) if arguments.preset else f"{PATH} is valid")


if __name__ == "__main__":
    try:
        main()
    except ParamsError as error:
        sys.exit(f"error: {error}")

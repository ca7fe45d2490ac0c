"""params.yaml checked against `pipeline.sections`, and the presets in it as `dvc exp run` arguments.

python -m pipeline.params          checks params.yaml
python -m pipeline.params h200     prints the preset as `-S key=value` words
"""

import copy
import difflib
import re
import sys
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.sections import Params


class ParamsError(ValueError):
    """params.yaml cannot be read, or a value in it is not allowed; the message names the key and what is allowed."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats: DVC writes `-S train.learning_rate=0.00001` as 1e-05, which YAML 1.1 takes for a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check a parameter file.

    Raises:
        ParamsError: the file is missing or not YAML, a key is unknown or missing, a value is out of its range, or a
            preset does not lead to allowed values. Every fault is named with its path and what is allowed.
    """
    try:
        raw = _read(path)
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run this in the folder that holds params.yaml") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not valid YAML: {error}") from None
    params = _validate(raw, path)
    for name, overrides in params.presets.items():
        _validate(_merged(raw, overrides, f"{path}: presets.{name}"), f"{path}, preset {name}")
    return params


def load_with(overrides: dict[str, object], path: str | Path = "params.yaml") -> Params:
    """A parameter file with other values for some dotted keys, as `dvc exp run -S` sets them.

    Raises:
        ParamsError: as `load`, and for a key that is no parameter.
    """
    load(path)
    raw = _read(path)
    return _validate(_merged(raw, overrides, "overrides"), "overrides")


def parse(text: str) -> object:
    """YAML as params.yaml and overrides are written in it.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, _Loader)


def keys(model: type[BaseModel] = Params) -> list[str]:
    """Dotted keys of all parameters."""
    found = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += [f"{name}.{key}" for key in keys(field.annotation)]
        elif model is not Params:  # presets are none
            found.append(name)
    return found


def _read(path: str | Path) -> object:
    return parse(Path(path).read_text(encoding="utf-8"))


def _validate(raw: object, source: str | Path) -> Params:
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(fault) for fault in error.errors()]
        raise ParamsError(f"{source}:\n  " + "\n  ".join(lines)) from None


def _explain(fault: dict) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "the file as a whole"
    if fault["type"] == "extra_forbidden":
        allowed = _keys_beside(fault["loc"])
        return f"{key}: unknown key; allowed here: {', '.join(allowed)}"
    if fault["type"] == "missing":
        return f"{key}: missing"
    got = "" if fault["loc"] == () else f", got {fault['input']!r}"
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}{got}"


def _keys_beside(location: tuple) -> list[str]:
    model: type[BaseModel] = Params
    for part in location[:-1]:
        model = model.model_fields[part].annotation
    return list(model.model_fields)


def _merged(raw: dict, overrides: dict[str, object], source: str) -> dict:
    """A copy of `raw` with dotted keys replaced."""
    merged = copy.deepcopy(raw)
    for key, value in overrides.items():
        *sections, field = key.split(".")
        inner = merged
        for section in sections:
            inner = inner.get(section) if isinstance(inner, dict) else None
        if key not in keys() or field not in inner:
            near = difflib.get_close_matches(key, keys())
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(keys())}"
            raise ParamsError(f"{source}: {key} is no parameter; {hint}")
        inner[field] = value
    return merged


def _overrides(params: Params, preset: str) -> str:
    if preset not in params.presets:
        raise ParamsError(f"no preset {preset!r} in params.yaml; there are: {', '.join(params.presets) or 'none'}")
    words = []
    for key, value in params.presets[preset].items():
        words += ["-S", f"{key}={yaml.safe_dump(value).splitlines()[0]}"]
    return " ".join(words)


def main(arguments: list[str]) -> None:
    params = load()
    print(_overrides(params, arguments[0]) if arguments else "params.yaml is in order")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ParamsError as error:
        sys.exit(f"error: {error}")

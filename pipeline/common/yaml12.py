"""YAML 1.2, which DVC writes: `no` and `12:30` are strings, `1e-05` is a number. YAML 1.1 (PyYAML) reads them otherwise."""

import io
from collections.abc import Mapping

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class YamlError(ValueError):
    """The text is not YAML; the message names its source and the place."""


def parse(text: str, source: object = "YAML") -> object:
    """The value of a YAML document.

    Args:
        source: file name for the error message.

    Raises:
        YamlError: the text is not valid YAML, or a key occurs twice.
    """
    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise YamlError(f"{source}: not valid YAML: {error}") from None


def dump(value: Mapping[str, object]) -> str:
    """Mappings, lists and scalars as YAML in block style, keys in their order."""
    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()

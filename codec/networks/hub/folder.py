"""A folder from which `AutoModel.from_pretrained` of the transformers library loads a token codec, without this package.

The folder holds copies of this package's own modules. transformers loads only modules that lie side by side, and finds them by
`from .name import` in their text; some of its versions look no further than the first one. So modules are renamed, their
imports are rewritten, and the first one names all others.
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

PACKAGE = "telucodec"
ROOT = Path(__file__).parents[2]
HERE = f"{PACKAGE}.networks.hub."
MODEL = f"{HERE}modeling_telucodec"
WEIGHTS = r"(coding|decoder)\..*|quantizer\.codebooks"  # the prior serves files alone
GRAPHS = "search_first", "search", "encoder"


def write(source: Path, target: Path) -> None:
    """Write code, weights and configurations into the existing folder `target`; the card is the caller's.

    Args:
        source: the folder of a token model that the runtime can read, with the network's `config.json`.
    """
    for name, text in sources().items():
        (target / f"{name}.py").write_text(text, encoding="utf-8")
    weights = load_file(source / "model.safetensors")
    tensors = {name: value for name, value in weights.items() if re.fullmatch(WEIGHTS, name)}
    graphs: dict[str, Any] = {}
    for name, needed in json.loads((source / "runtime.json").read_text(encoding="utf-8"))["graphs"].items():
        if name in GRAPHS:
            data = (source / "graphs" / f"{name}.onnx").read_bytes()
            tensors[f"graphs.{name}"] = np.frombuffer(data, np.uint8)
            graphs[name] = {"bytes": len(data), "weights": needed}
    (target / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
    _write_json(target / "config.json", _configuration(source) | {"graphs": graphs})
    extractor = {
        "feature_extractor_type": "EncodecFeatureExtractor",  # Mimi has the same one
        "feature_size": 1,
        "sampling_rate": json.loads((source / "config.json").read_text(encoding="utf-8"))["sample_rate"],
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
    }
    _write_json(target / "preprocessor_config.json", extractor)


def _configuration(source: Path) -> dict[str, Any]:
    codec = json.loads((source / "config.json").read_text(encoding="utf-8"))
    kept = "latent_dim coding channels encoder_layers decoder_layers kernel compand init output_activation"
    return {
        "architectures": ["TeluCodecModel"],
        "auto_map": {
            "AutoConfig": "configuration_telucodec.TeluCodecConfig",
            "AutoModel": "modeling_telucodec.TeluCodecModel",
        },
        "model_type": "telucodec",
        "dtype": "float32",
        "sampling_rate": codec["sample_rate"],
        "hop_length": codec["hop"],
        "num_quantizers": codec["quantizer"]["num_codebooks"],
        "codebook_size": codec["quantizer"]["codebook_size"],
        **{name: codec[name] for name in kept.split()},
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def sources() -> dict[str, str]:
    """The text of each module that the model needs, by its name in the folder."""
    found: dict[str, str] = {}
    waiting = [MODEL]
    while waiting:
        module = waiting.pop()
        if _flat(module) not in found:
            found[_flat(module)], others = _flattened(_file(module).read_text(encoding="utf-8"))
            waiting += others
    named = "".join(f"    from .{name} import __name__ as _\n" for name in sorted(found) if name != _flat(MODEL))
    found[_flat(MODEL)] += f"\n\nif False:  # transformers copies the modules that are named in this text\n{named}"
    return found


def _flattened(text: str) -> tuple[str, list[str]]:
    """A module's text with imports from beside it, and the modules that it imports."""
    lines, others = text.splitlines(keepends=True), []
    imports = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE
    ]
    for node in sorted(imports, key=lambda node: -node.lineno):
        assert node.module and node.end_lineno
        written, names = [], [alias for alias in node.names if not _is_module(f"{node.module}.{alias.name}")]
        if names:
            others.append(node.module)
            written.append(f"from .{_flat(node.module)} import {', '.join(ast.unparse(alias) for alias in names)}")
        for alias in node.names:
            if alias not in names:
                others.append(f"{node.module}.{alias.name}")
                written.append(f"from . import {_flat(others[-1])} as {alias.asname or alias.name}")
        lines[node.lineno - 1 : node.end_lineno] = [f"{' ' * node.col_offset}{line}\n" for line in written]
    return "".join(lines), others


def _flat(module: str) -> str:
    """The name of a module in the folder."""
    return module.removeprefix(HERE).removeprefix(f"{PACKAGE}.").replace(".", "_")


def _file(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py")


def _is_module(name: str) -> bool:
    return _file(name).exists()

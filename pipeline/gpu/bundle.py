"""Pack what training on a GPU without a network needs: `python -m pipeline.gpu.bundle [--model NAME]... [-S KEY=VALUE]...`.

The bundle holds code, parameters, the shards of training and validation, the weights to start from, wheels, and `run.sh`. The
shards must be there: `dvc repro preprocess`. A preset is a list of arguments: `$(python -m pipeline.common.params clear)`.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.common import files
from pipeline.common import params as parameters
from pipeline.common.sections import Loop, Params
from pipeline.common.stage import StageError
from pipeline.common.yaml12 import dump, parse
from pipeline.gpu import identity, lanes, packed, wheels
from pipeline.training import start_from
from pipeline.training.tokens import token_config
from telucodec.networks.tokens import adversary
from telucodec.networks.tokens.model import TokenCodec

OUTPUT = Path("build/gpu-bundle")
ROOT = Path(__file__).parents[2]
CODE = {"codec": "telucodec", "pipeline": "pipeline"}  # folder here: folder in the bundle
LARGEST_BUNDLE = 50_000_000  # bytes
LARGEST_RESULT = 16 * 2**20  # bytes of a file that comes back


def build(
    overrides: Mapping[str, object], output: Path, models: Sequence[str] = lanes.MODELS, opus: bool = False
) -> dict[str, int]:
    """Write a bundle, in place of the one that is there.

    Args:
        overrides: values of parameters by dotted key.
        models: to train. The enhancer needs the waveform codec, from this training or from data/models.
        opus: pack the shards lossily.

    Returns:
        The size in bytes of each part.

    Raises:
        StageError: there are no shards, there is no waveform codec, the weights would not come back, or the bundle is too large.
    """
    params = parameters.load_with(overrides)
    _check_weights(params)
    codec = files.MODELS / "waveform"
    enhances_another = "enhancer" in models and "waveform" not in models
    if enhances_another and not codec.exists():
        raise StageError(
            f"the enhancer needs {codec}; run `dvc repro train@waveform`, or train it too: --model waveform"
        )
    with files.whole_folder(output) as folder:
        for source, target in CODE.items():
            _copy_code(ROOT / source, folder / "code" / target)
        for split in packed.SPLITS:
            packed.pack(files.SHARDS / split, folder / "shards" / split, opus)
        kept = [_weights(params.loop(model), model, folder) for model in models]
        params = parameters.load_with({**overrides, **{key: place for row in kept for key, place in row.items()}})
        if enhances_another:
            shutil.copytree(codec, folder / identity.PARTS["codec"])
        (folder / "params.yaml").write_text(dump(params.model_dump()), encoding="utf-8")
        wheels.collect(folder / "wheels")
        for name, target in {"run.sh": "run.sh", "bundle.md": "README.md"}.items():
            shutil.copy(Path(__file__).with_name(name), folder / target)
        about = {
            "models": models,
            "ids": identity.identify(folder),
            "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        (folder / identity.BUNDLE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        sizes = _sizes(folder)
        if sum(sizes.values()) > LARGEST_BUNDLE:
            raise StageError(_too_large(sizes))
    return sizes


def _check_weights(params: Params) -> None:
    """
    Raises:
        StageError: the trained weights would be larger than a file that comes back may be.
    """
    state = TokenCodec(token_config(params)).state_dict()
    size = sum(
        2 * value.numel() for name, value in state.items() if not name.startswith(("quantizer.usage", "quantizer.sums"))
    )
    if size > LARGEST_RESULT:
        raise StageError(
            f"the trained weights would have {size / 1e6:.0f} MB, but a file that comes back may have "
            f"{LARGEST_RESULT / 1e6:.0f} MB; lower model.channels, model.encoder_layers or model.decoder_layers"
        )


def _copy_code(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*.py")):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)


def _weights(loop: Loop, model: str, bundle: Path) -> dict[str, str]:
    """Copy the weights that a training starts from into the bundle; returns the parameter that names them there."""
    place = start_from.folder(loop, model)
    if place is None:
        return {}
    target = lanes.folder(model, bundle / identity.PARTS["start_from"])
    target.mkdir(parents=True, exist_ok=True)
    sources = [place / name for name in (start_from.WEIGHTS, "config.json", adversary.FILE)]
    missing = [str(path) for path in sources[:2] if not path.exists()]
    key = f"{lanes.section(model)}train.start_from"
    if missing:
        raise StageError(f"{key} lacks {', '.join(missing)}; name the folder that holds {model}/config.json")
    for path in sources:
        if path.exists():
            shutil.copy(path, target)
    return {key: target.parent.relative_to(bundle).as_posix()}


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each part of a bundle; the splits of the shards are parts of their own."""
    places = sorted([*folder.iterdir(), *(folder / "shards").iterdir()])
    return {
        place.relative_to(folder).as_posix(): sum(
            path.stat().st_size for path in [place, *place.rglob("*")] if path.is_file()
        )
        for place in places
        if place.name != "shards"
    }


def _too_large(sizes: dict[str, int]) -> str:
    largest = sorted(sizes, key=lambda name: -sizes[name])[:4]
    parts = ", ".join(f"{name} {sizes[name] / 1e6:.1f} MB" for name in largest)
    return (
        f"the bundle would have {sum(sizes.values()) / 1e6:.1f} MB, more than {LARGEST_BUNDLE / 1e6:.0f} ({parts}); "
        "take fewer recordings (data.root), or --opus if they were lossy already"
    )


def _override(text: str) -> tuple[str, object]:
    key, _, value = text.partition("=")
    return key, parse(value, text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.gpu.bundle", description="Pack training for a GPU.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder to write (default: {OUTPUT})")
    parser.add_argument("--opus", action="store_true", help="pack lossily, for recordings that were lossy already")
    parser.add_argument(
        "--model", action="append", choices=lanes.MODELS, help="train this model only; repeat it for others"
    )
    parser.add_argument("-S", dest="overrides", metavar="KEY=VALUE", type=_override, action="append", default=[])
    arguments = parser.parse_args()
    try:
        models = arguments.model or lanes.MODELS
        sizes = build(dict(arguments.overrides), arguments.output, models, arguments.opus)
    except (StageError, ValueError) as error:
        sys.exit(f"error: {error}")
    for name, size in sizes.items():
        print(f"{name:20s} {size / 1e6:6.1f} MB")
    print(
        f"{arguments.output}: {sum(sizes.values()) / 1e6:.1f} MB; on the machine with the GPU: run.sh MINUTES [RESULTS_DIR]"
    )


if __name__ == "__main__":
    main()

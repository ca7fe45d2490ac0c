"""`telucodec doctor`: what is there, what is not, and what to do about it."""

import argparse
import importlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from telucodec import __version__, load, processors
from telucodec.errors import CodecError
from telucodec.operating_point import OperatingPoint

LIBRARIES = "numpy", "onnxruntime", "constriction", "safetensors", "soundfile", "soxr"
MEASURES = "pesq", "pystoi"
LEAST_FREE = 1 << 30  # bytes; with less, outputs and shards soon fill the disk


class Finding(NamedTuple):
    """One line: what was looked at, how it is, and for anything but `ok` what to do."""

    what: str
    state: Literal["ok", "note", "fault"]
    value: str
    remedy: str = ""


def run(options: argparse.Namespace) -> None:
    """Print what there is.

    Raises:
        CodecError: something is broken; the lines say what.
    """
    faults = show([*system(), *codec(options.model)])
    if faults:
        raise CodecError(f"{faults} faults; the lines that begin with FAULT say what to do")


def show(findings: Iterable[Finding]) -> int:
    """Print findings as they come; returns the number of faults."""
    faults = 0
    for finding in findings:
        sign = {"ok": "ok", "note": "-", "fault": "FAULT"}[finding.state]
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        print(f"{sign:6} {finding.what:18} {finding.value}{remedy}", flush=True)
        faults += finding.state == "fault"
    return faults


def system() -> Iterator[Finding]:
    """The machine: Python, processors, GPU, disk."""
    yield Finding(
        "Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    )
    yield Finding("processors", "ok", f"{os.cpu_count()}, {processors.usable()} usable here")
    yield _gpu()
    free = shutil.disk_usage(Path.cwd()).free
    state: Literal["ok", "fault"] = "ok" if free >= LEAST_FREE else "fault"
    yield Finding(
        "disk", state, f"{free / 1e9:.1f} GB free in {Path.cwd()}", "" if state == "ok" else "free some space"
    )


def codec(folder: Path | None) -> Iterator[Finding]:
    """The codec: its libraries, its models, and whether a recording comes back."""
    yield Finding("telucodec", "ok", __version__)
    yield from libraries(LIBRARIES, "pip install --force-reinstall telucodec", needed=True)
    yield from libraries(MEASURES, "pip install 'telucodec[metrics]' for `telucodec evaluate`", needed=False)
    yield from libraries(["av"], "pip install 'telucodec[formats]' for MP3, Ogg, M4A and others", needed=False)
    if "av" in sys.modules:
        numbers = ".".join(map(str, sys.modules["av"].library_versions["libavcodec"]))
        yield Finding("ffmpeg", "ok", f"libavcodec {numbers}, in PyAV; no other is needed to read recordings")
    yield _round_trip(folder, "waveform", OperatingPoint(step=300))
    yield _round_trip(folder, "tokens", OperatingPoint(tokens=1))


def libraries(names: Iterable[str], remedy: str, needed: bool) -> Iterator[Finding]:
    """Versions of packages that can be imported."""
    for name in names:
        try:
            importlib.import_module(name)
            yield Finding(name, "ok", metadata.version(name))
        except (ImportError, OSError) as error:  # a wheel of another system cannot be loaded
            yield Finding(name, "fault" if needed else "note", f"{error}", remedy)


def _gpu() -> Finding:
    if metadata.packages_distributions().get("torch") is None:
        return Finding("GPU", "note", "PyTorch is not installed; coding does not need it, training does")
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return Finding("GPU", "fault", f"PyTorch cannot be loaded: {error}", "install it again")
    if torch.cuda.is_available():
        return Finding("GPU", "ok", f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    return Finding(
        "GPU", "note", f"none that PyTorch {torch.__version__} can use; coding needs none, training is slower"
    )


def _round_trip(folder: Path | None, kind: str, point: OperatingPoint) -> Finding:
    """Encode and decode a fifth of a second."""
    import numpy as np

    try:
        telu = load(folder, [kind])
        began = time.perf_counter()
        audio = (0.1 * np.sin(np.arange(3200) * 0.05)).astype(np.float32)
        telu.decode(telu.encode(audio, **point.arguments))
        spent = time.perf_counter() - began
    except CodecError as error:
        return Finding(
            f"model {kind}", "fault", str(error), "install the package again, or name another folder with --model"
        )
    return Finding(f"model {kind}", "ok", f"{telu.model_id(kind)[:8]}, loads and codes in {spent:.1f} s")

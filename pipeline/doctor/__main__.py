"""What the pipeline finds here, on one screen: `python -m pipeline.doctor`. The exit code is 1 if something is broken."""

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from pipeline import judges, peers
from pipeline.common import files, prefect_server
from pipeline.common import params as parameters
from pipeline.doctor.workspace import dvc, git
from telucodec.cli import doctor
from telucodec.cli.doctor import Finding, libraries


def main() -> None:
    faults = doctor.show(
        [
            *doctor.system(),
            *doctor.codec(None),
            *packages(),
            *settings(),
            *git(),
            *dvc(),
            prefect(),
            tracking(),
            *others(),
        ]
    )
    if faults:
        sys.exit(f"{faults} faults; the lines that begin with FAULT say what to do")


def packages() -> Iterator[Finding]:
    """Packages of the pipeline, and those whose version the project does not allow."""
    yield from libraries(("torch", "dvc", "prefect", "wandb", "pyarrow"), "pip install -e '.[pipeline]'", needed=True)
    try:
        wanted = [Requirement(text) for text in metadata.requires("telucodec") or ()]
    except metadata.PackageNotFoundError:
        yield Finding("installation", "note", "telucodec is used from its folder, so versions are not checked")
        return
    wrong = []
    for one in wanted:
        if one.specifier and (one.marker is None or one.marker.evaluate({"extra": "pipeline"})):
            try:
                version = metadata.version(one.name)
            except metadata.PackageNotFoundError:
                continue
            if not one.specifier.contains(version, prereleases=True):
                wrong.append(f"{one.name} {version} is not {one.specifier}")
    remedy = "pip install --constraint constraints.txt -e '.[pipeline]'"
    yield (
        Finding("versions", "fault", "; ".join(wrong), remedy)
        if wrong
        else Finding("versions", "ok", "all are allowed")
    )


def settings() -> Iterator[Finding]:
    """This folder, params.yaml, and the folders that it names."""
    if not os.access(".", os.W_OK):
        yield Finding("folder", "fault", f"{Path.cwd()} cannot be written", "copy it to where you may write")
    try:
        params = parameters.load()
    except parameters.ParamsError as error:
        yield Finding("params.yaml", "fault", str(error), "correct it")
        return
    yield Finding("params.yaml", "ok", "valid")
    for key, root in (("data.root", params.data.root), ("evaluate.root", params.evaluate.root)):
        if root is None or (key == "data.root" and params.data.is_built_in):
            continue
        folder = files.resolve_root(root)
        there = folder.is_dir()
        yield Finding(
            key, "ok" if there else "fault", str(folder), "" if there else f"no such folder; set it with -S {key}=DIR"
        )


def prefect() -> Finding:
    """Whether the Prefect server answers that runs would use."""
    address = prefect_server.address()
    if not address:
        return Finding("Prefect server", "note", "PREFECT_API_URL names none; a flow starts its own")
    if reason := prefect_server.fault(address):
        return Finding("Prefect server", "fault", f"{address}: {reason}", prefect_server.remedy())
    return Finding("Prefect server", "ok", f"answers at {address}")


def tracking() -> Finding:
    set_ = [name for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_RUN_ID") if name in os.environ]
    return Finding(
        "W&B", "ok", f"from the environment: {', '.join(set_)}" if set_ else "nothing set in the environment"
    )


def others() -> Iterator[Finding]:
    """Codecs to compare with, and judges."""
    for name, peer in peers.PEERS.items():
        missing = peer.missing()
        yield Finding(f"codec {name}", "note" if missing else "ok", missing or "can run")
    for name, judge in judges.JUDGES.items():
        missing = " and ".join(judge.missing)
        yield Finding(
            f"judge {name}",
            "note" if missing else "ok",
            f"needs {missing}" if missing else "can run",
            judge.install if missing else "",
        )


if __name__ == "__main__":
    main()

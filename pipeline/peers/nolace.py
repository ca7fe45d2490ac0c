"""Opus for speech, decoded with NoLACE, a neural network that enhances what a libopus of at least 1.5 decodes.

The npm packages hold that decoder as WebAssembly. NoLACE works where the encoder codes wide band in SILK, with the application
`voip` from 9 kbit/s on; below, it changes nothing.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np

from pipeline.peers import opus
from pipeline.peers.peer import Coded, Peer, PeerError

SCRIPT = Path(__file__).with_name("nolace.mjs")
PACKAGES = "ogg-opus-decoder", "@wasm-audio-decoders/opus-ml"


def _code(audio: np.ndarray, kbps: float) -> Coded:
    data, packets = opus.encode(audio, kbps, "voip")
    environment = os.environ | {"NODE_PATH": os.pathsep.join(map(str, _module_folders()))}
    done = subprocess.run(["node", str(SCRIPT)], input=data, capture_output=True, env=environment)
    if done.returncode:
        raise PeerError(f"node {SCRIPT} failed: {done.stderr.decode(errors='replace').strip()}")
    return Coded(np.frombuffer(done.stdout, np.float32), sum(map(len, packets)))


def _missing() -> str | None:
    if shutil.which("node") is None:
        return "needs Node.js, at least version 18"
    if not any(all((folder / package).is_dir() for package in PACKAGES) for folder in _module_folders()):
        return f"needs packages for Node.js: npm install -g {' '.join(PACKAGES)}"
    return opus.missing()


def _module_folders() -> list[Path]:
    """Where Node.js packages may lie: what NODE_PATH names, and the global packages of the `node` in use."""
    named = [Path(folder) for folder in os.environ.get("NODE_PATH", "").split(os.pathsep) if folder]
    node = shutil.which("node")
    return named + ([Path(node).resolve().parents[1] / "lib" / "node_modules"] if node else [])


PEER = Peer(
    name="nolace",
    title="Opus with NoLACE",
    rates=(9, 12),
    judged=(9,),
    lowest=9,
    highest=32,
    code=_code,
    missing=_missing,
)

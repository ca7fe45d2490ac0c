#!/usr/bin/env bash
# visqol-python 3.8.0 (ViSQOL, speech mode): the same two signals get a MOS-LQO of 4.17 or of 2.66, depending on whether the
# optional package ai-edge-litert is installed. The similarity behind the score (VNSIM) is the same, 0.839: without the package a
# polynomial maps it to opinion scores instead of the lattice model. The library says so in a warning on standard error; the
# result object does not, so tables made on two machines differ by up to two points with nothing in them to show why.
#
# Seen 2026-11-27, Python 3.11, numpy 2.4.6:
#   without ai-edge-litert: 4.17 0.839
#   with ai-edge-litert 2.3.0: 2.66 0.839
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet visqol-python==3.8.0 numpy==2.4.6 2>/dev/null
cat >"$work/score.py" <<'PYTHON'
import warnings

warnings.filterwarnings("ignore")
import numpy as np
from visqol import VisqolApi

rate = 16000
time = np.arange(4 * rate) / rate
syllables = np.abs(np.sin(2 * np.pi * 2.5 * time))
voice = sum(np.sin(2 * np.pi * 140 * h * time + h) / h for h in range(1, 30)) * syllables
voice *= 0.2 / np.abs(voice).max()
noisy = voice + 0.01 * np.random.default_rng(0).standard_normal(len(voice))
api = VisqolApi()
api.create(mode="speech")
result = api.measure_from_arrays(voice, noisy, rate)
print(f"{result.moslqo:.2f} {result.vnsim:.3f}")
PYTHON
without=$("$work/venv/bin/python" "$work/score.py" 2>/dev/null)
"$work/venv/bin/pip" install --quiet ai-edge-litert==2.3.0 2>/dev/null
with=$("$work/venv/bin/python" "$work/score.py" 2>/dev/null)
echo "without ai-edge-litert: $without"
echo "with ai-edge-litert 2.3.0: $with"
[ "$without" = "4.17 0.839" ] && [ "$with" = "2.66 0.839" ]

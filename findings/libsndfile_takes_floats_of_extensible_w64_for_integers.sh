#!/usr/bin/env bash
# libsndfile 1.2.2 (in soundfile 0.14.0), Sony Wave64 (.w64) with WAVE_FORMAT_EXTENSIBLE, which ffmpeg writes for more than 16 bits: the
# subformat is shown in the log and then ignored; the number of bits alone decides. 32-bit floating point is read as 32-bit integers, which is
# loud noise of the right length, without an error. The same header in RIFF is read rightly.
#
# Seen 2026-11-28, Python 3.11, numpy 2.4.6:
#   wav: FLOAT, 0.00 0.25 0.50 -0.50
#   w64: PCM_32, 0.00 0.49 0.49 -0.51
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6 2>/dev/null
cat >"$work/read.py" <<'PYTHON'
import io
import struct

import numpy as np
import soundfile

SAMPLES = np.array([0, 0.25, 0.5, -0.5], "<f4").tobytes()
FLOATS = struct.pack("<H", 3) + bytes.fromhex("000000001000800000aa00389b71")
FORMAT = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16000, 64000, 4, 32, 22, 32, 4) + FLOATS
END = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of the names of chunks, but for the first


def w64_chunk(name, content):
    return name + END + struct.pack("<Q", 24 + len(content)) + content


def wav_chunk(name, content):
    return name + struct.pack("<I", len(content)) + content


w64 = b"wave" + END + w64_chunk(b"fmt ", FORMAT) + w64_chunk(b"data", SAMPLES)
wav = b"WAVE" + wav_chunk(b"fmt ", FORMAT) + wav_chunk(b"data", SAMPLES)
files = {
    "wav": b"RIFF" + struct.pack("<I", len(wav)) + wav,
    "w64": b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000") + struct.pack("<Q", 24 + len(w64)) + w64,
}
for name, content in files.items():
    sound = soundfile.SoundFile(io.BytesIO(content))
    print(f"{name}: {sound.subtype}, {' '.join(f'{value:.2f}' for value in sound.read())}")
PYTHON
seen=$("$work/venv/bin/python" "$work/read.py")
echo "$seen"
[ "$seen" = "wav: FLOAT, 0.00 0.25 0.50 -0.50
w64: PCM_32, 0.00 0.49 0.49 -0.51" ]

#!/usr/bin/env bash
# libsndfile 1.2.2 (in soundfile 0.14.0), Creative Voice File (.voc) of 16-bit samples in several blocks, as the format allows and
# ffmpeg writes them: only the header of the first block is understood. Those of all later ones are returned as samples, in the
# middle of the sound: 8 of them for a block with parameters of its own (type 9), 2 for one that goes on (type 2). Type and size are 4 bytes, an
# even number, so that the samples behind them are aligned and the rest of the sound is right but for the clicks. There is no error, and the
# number of frames includes them.
#
# Seen 2026-11-28, Python 3.11, numpy 2.4.6:
#   one block: 2000 frames
#   two blocks of type 9: 2008 frames, between the halves -9207 7 8000 0 272 4 0 0
#   types 9 and 2: 2002 frames, between the halves -12286 7
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


def block(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "little") + body


def with_parameters(samples):
    return block(9, struct.pack("<IBBH4x", 8000, 16, 1, 4) + samples.tobytes())


def read(*blocks):
    head = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x010A, 0x1129)
    samples, _ = soundfile.read(io.BytesIO(head + b"".join(blocks) + b"\0"), dtype="int16")
    return samples


first, second = np.arange(1000, dtype="<i2"), np.arange(5000, 6000, dtype="<i2")
print(f"one block: {len(read(with_parameters(np.concatenate([first, second]))))} frames")
for name, later in {"two blocks of type 9": with_parameters(second), "types 9 and 2": block(2, second.tobytes())}.items():
    samples = read(with_parameters(first), later)
    between = " ".join(map(str, samples[1000 : len(samples) - 1000]))
    print(f"{name}: {len(samples)} frames, between the halves {between}")
PYTHON
seen=$("$work/venv/bin/python" "$work/read.py")
echo "$seen"
[ "$seen" = "one block: 2000 frames
two blocks of type 9: 2008 frames, between the halves -9207 7 8000 0 272 4 0 0
types 9 and 2: 2002 frames, between the halves -12286 7" ]

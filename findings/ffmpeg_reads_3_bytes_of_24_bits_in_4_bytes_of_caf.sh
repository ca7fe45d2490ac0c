#!/usr/bin/env bash
# ffmpeg 8 (in PyAV 18.1.0), Apple's Core Audio Format (.caf) with samples of 24 bits in 4 bytes each, as the description states them
# (mBytesPerPacket 4, mBitsPerChannel 24): only the number of bits decides, so that samples are read from 3 bytes each. What comes out is
# noise, and four thirds as long, without an error or a warning. The same bytes stated as 32 bits are read rightly.
#
# Seen 2026-11-28, Python 3.11, numpy 2.4.6:
#   32 bits: 3000 samples, 0.00 0.25 0.50 0.00 0.25 0.50
#   24 bits: 3999 samples, 0.00 0.00 0.00 0.50 0.00 0.00
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6 2>/dev/null
cat >"$work/read.py" <<'PYTHON'
import io
import struct

import av
import numpy as np

SAMPLES = (np.array([0, 0.25, 0.5] * 1000) * 2**31).astype("<i4").tobytes()
for bits in 32, 24:
    description = struct.pack(">d4sIIIII", 16000, b"lpcm", 2, 4, 1, 1, bits)  # 2: little-endian integers
    content = b"caff\0\1\0\0desc" + struct.pack(">Q", len(description)) + description
    content += struct.pack(">4sQI", b"data", 4 + len(SAMPLES), 0) + SAMPLES
    with av.open(io.BytesIO(content)) as file:
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)]) / 2**31
    print(f"{bits} bits: {len(samples)} samples, {' '.join(f'{value:.2f}' for value in samples[:6])}")
PYTHON
seen=$("$work/venv/bin/python" "$work/read.py")
echo "$seen"
[ "$seen" = "32 bits: 3000 samples, 0.00 0.25 0.50 0.00 0.25 0.50
24 bits: 3999 samples, 0.00 0.00 0.00 0.50 0.00 0.00" ]

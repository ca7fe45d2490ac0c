#!/usr/bin/env bash
# PyAV 18.1.0 brings libopus 1.6.1. Since 1.5, Opus can conceal lost packets with a network (deep PLC), from a decoder complexity of 5
# on. In this build it cannot: with every third packet lost, the output at complexity 10 equals that at complexity 0 to the bit,
# although setting the complexity succeeds and is read back. Nobody says so: a comparison of loss concealment that takes "Opus 1.6"
# from here measures the concealment that Opus always had.
#
# Seen 2026-11-28, Python 3.11, x86-64:
#   libopus 1.6.1, complexity 10 set: 0, read back: 10
#   samples that differ between complexity 0 and 10, of 48000: 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6 2>/dev/null
"$work/venv/bin/python" - <<'PY'
import ctypes
import io
import sys
from pathlib import Path

import av
import numpy as np

RATE, FRAME, SET_COMPLEXITY, GET_COMPLEXITY = 16000, 320, 4010, 4011
time = np.arange(3 * RATE) / RATE
pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(4 * time)) / RATE
voice = sum(np.sin(k * pitch) / k for k in range(1, 30)) * (0.6 + 0.4 * np.sin(9 * time))
packets = []
with av.open(io.BytesIO(), "w", format="ogg") as ogg:
    stream = ogg.add_stream("libopus", rate=RATE, layout="mono", options={"application": "voip"})
    stream.bit_rate = 16000
    frame = av.AudioFrame.from_ndarray((6000 * voice).astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate = RATE
    for packet in [*stream.encode(frame), *stream.encode(None)]:
        packets.append(bytes(packet))
[path] = (Path(av.__file__).parents[1] / "av.libs").glob("libopus*")
opus = ctypes.CDLL(str(path))
opus.opus_get_version_string.restype = ctypes.c_char_p
opus.opus_decoder_create.restype = ctypes.c_void_p


def decoded(complexity):
    error, back = ctypes.c_int(), ctypes.c_int32()
    decoder = ctypes.c_void_p(opus.opus_decoder_create(RATE, 1, ctypes.byref(error)))
    result = opus.opus_decoder_ctl(decoder, SET_COMPLEXITY, ctypes.c_int32(complexity))
    opus.opus_decoder_ctl(decoder, GET_COMPLEXITY, ctypes.byref(back))
    parts = []
    for number, packet in enumerate(packets):
        part = (ctypes.c_float * FRAME)()
        lost = number % 3 == 2
        count = opus.opus_decode_float(decoder, None if lost else packet, 0 if lost else len(packet), part, FRAME, 0)
        assert count == FRAME
        parts.append(np.array(part))
    return np.concatenate(parts)[: len(voice)], result, back.value


plain, *_ = decoded(0)
deep, result, back = decoded(10)
version = opus.opus_get_version_string().decode()
differing = int((plain != deep).sum())
print(f"{version}, complexity 10 set: {result}, read back: {back}")
print(f"samples that differ between complexity 0 and 10, of {len(plain)}: {differing}")
assert np.abs(plain).max() > 0.1
sys.exit(not ("1.6.1" in version and (result, back) == (0, 10) and differing == 0))
PY

#!/usr/bin/env bash
# onnxruntime 1.32.0 (wheel for Linux): telemetry, which earlier only builds for Windows had, is compiled in and on. Running
# one model leaves an identifier of the device and a database of events in the cache folder of the user, although neither the
# program nor its user asked for it, and where that folder cannot be written, a warning with every process. With
# ORT_DISABLE_TELEMETRY=1 in the environment before the import, nothing is written. Whether anything is sent was not looked at.
# Seen: by default 2 or more files below .cache/Microsoft, with the variable none.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.20.1 numpy==2.4.6 2>/dev/null
cat > "$work/one.py" <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
assert session.run(None, {"x": np.ones(1, np.float32)})[0] == -1
PY

left() { # the files that a process with this environment leaves in its home directory
    mkdir "$work/home"
    env -u XDG_CACHE_HOME -u ORT_DISABLE_TELEMETRY HOME="$work/home" "$@" "$work/venv/bin/python" "$work/one.py"
    (cd "$work/home" && find . -type f)
    rm -rf "$work/home"
}

default=$(left A=1)
off=$(left ORT_DISABLE_TELEMETRY=1)
printf 'by default:\n%s\nwith ORT_DISABLE_TELEMETRY=1:\n%s\n' "$default" "$off"
[[ $default == *Microsoft* && -z $off ]]

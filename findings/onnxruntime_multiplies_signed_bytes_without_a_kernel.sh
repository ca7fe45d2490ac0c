#!/usr/bin/env bash
# onnxruntime 1.32.0 on x86-64: MatMulInteger of signed by signed bytes (int8, int8) is slower than the same product in
# float32. The operator allows signed and unsigned bytes on either side, and symmetric quantisation makes all of them
# signed; but vector kernels are there for an unsigned left side only. With a signed one a plain loop runs, without a word
# and with the same sums, except on processors with AVX-VNNI-INT8. Adding 128 to the left side, with 128 as its zero point,
# gives the same sums fast. Seen, 24 x 256 by 256 x 768 on one thread of a processor with AVX-512 VNNI:
#   float32 41 us, uint8 by int8 13 us, int8 by int8 281 us
# Times are the least of 300, so that other load hardly matters. Ends well, and says so, on other processors.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.20.1 numpy==2.4.6 2>/dev/null
"$work/venv/bin/python" - <<'PY'
import platform
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split() if Path("/proc/cpuinfo").exists() else []
if platform.machine() != "x86_64" or "avx2" not in flags or "avx_vnni_int8" in flags:
    sys.exit(print("not a processor that this is about"))
ROWS, INNER, COLUMNS = 24, 256, 768
random = np.random.default_rng(0)
left, right = random.integers(0, 128, (ROWS, INNER)), random.integers(-127, 128, (INNER, COLUMNS))
TYPES = {np.float32: TensorProto.FLOAT, np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8}


def product(of, by):
    """Microseconds of one product, and its result. Both sides hold the same numbers whatever their types are."""
    operator, result = ("MatMul", TensorProto.FLOAT) if of is np.float32 else ("MatMulInteger", TensorProto.INT32)
    node = helper.make_node(operator, ["left", "right"], ["sums"])
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in (
        ("left", TYPES[of], (ROWS, INNER)), ("sums", result, (ROWS, COLUMNS)))]
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [numpy_helper.from_array(right.astype(by), "right")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed, times = {"left": left.astype(of)}, []
    for _ in range(300):
        began = time.perf_counter()
        (sums,) = session.run(None, feed)
        times.append(time.perf_counter() - began)
    return min(times) * 1e6, sums


floats, exact = product(np.float32, np.float32)
unsigned, same = product(np.uint8, np.int8)
signed, also_same = product(np.int8, np.int8)
print(f"float32 {floats:.0f} us, uint8 by int8 {unsigned:.0f} us, int8 by int8 {signed:.0f} us")
assert (exact == same).all() and (same == also_same).all(), "the sums differ"
assert signed > 2 * floats and signed > 4 * unsigned, "int8 by int8 has a kernel now"
PY

#!/usr/bin/env bash
# numpy 2.4.6 (with its bundled OpenBLAS): a row of a matrix product has other bits when it is multiplied alone than
# among other rows. A codec that multiplies the frames of a stream as they come, and all frames of a file at once, gets
# different numbers, and where a quantiser follows, now and then another code. A stack of one-row products,
# np.matmul(x[:, None], m)[:, 0], gives the same bits however many rows there are; so does np.fft.rfft over rows. Seen:
#   float32: rows with other bits, alone: 1.00, by sevens: 0.79, stacked: 0.00, rfft: 0.00
#   float64: rows with other bits, alone: 1.00, by sevens: 0.14, stacked: 0.00, rfft: 0.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import numpy as np

random = np.random.default_rng(0)
for kind in (np.float32, np.float64):
    x, m = random.standard_normal((500, 128)).astype(kind), random.standard_normal((128, 64)).astype(kind)

    def by(count, function):
        return np.concatenate([function(x[start : start + count]) for start in range(0, 500, count)])

    def share(function, count):
        return (function(x) != by(count, function)).any(1).mean()

    def plain(rows):
        return rows @ m

    def stacked(rows):
        return np.matmul(rows[:, None], m)[:, 0]

    found = share(plain, 1), share(plain, 7), share(stacked, 1), share(np.fft.rfft, 1)
    print(f"{kind.__name__}: rows with other bits, alone: %.2f, by sevens: %.2f, stacked: %.2f, rfft: %.2f" % found)
    assert found[0] > 0.5 and found[1] > 0 and found[2] == found[3] == 0, found
PY

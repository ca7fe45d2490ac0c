#!/usr/bin/env bash
# Install what the image lacks, check the GPU, train: `bash run.sh MINUTES [RESULTS_DIR [checked]]`. README.md says what comes back.
set -euo pipefail
if [[ ! ${1:-} =~ ^[0-9]+(\.[0-9]+)?$ || ! ${3:-} =~ ^(checked)?$ ]]; then
    echo "usage: bash run.sh MINUTES [RESULTS_DIR [checked]]" >&2
    exit 2
fi
bundle=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${2:-results}" "$bundle/work"
results=$(cd "${2:-results}" && pwd)
packages=$bundle/work/packages
python=${PYTHON:-python3}
{
    echo "$(date -u) run.sh $1"
    "$python" -m pip install --quiet --no-index --no-deps --no-cache-dir --disable-pip-version-check --upgrade \
        --root-user-action ignore --target "$packages" "$bundle"/wheels/*.whl
    export PYTHONPATH=$packages:$bundle/code${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
    export OMP_NUM_THREADS=1 # the processes that unpack shards share the cores among themselves
    cd "$bundle/work"
    "$python" -m pipeline.gpu.run "$bundle" "$1" "$results" "${3:-}" "$SECONDS"
} 2>&1 | tee "$results/log.txt"

#!/usr/bin/env bash
# transformers 5.24.0 (torch 2.13.0): a constant that a model computes in __init__ and registers as a buffer with persistent=False is
# right in a model that is constructed, and holds whatever was in memory in one that from_pretrained returns. Models are constructed
# on the meta device, without values; weights are then read from the file, and other buffers get new memory that nobody fills. No
# warning is given. A model restores such constants in _init_weights, which is called after loading.
#
# Seen 2026-11-28, Python 3.11:
#   constructed: 0.00 0.15 0.50 0.85 1.00 0.85 0.50 0.15
#   from_pretrained: other values
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.24.0 torch==2.13.0 numpy==2.4.6 2>/dev/null
cat >"$work/buffer.py" <<'PYTHON'
import sys

import torch
from transformers import PretrainedConfig, PreTrainedModel


class Config(PretrainedConfig):
    model_type = "window"


class Model(PreTrainedModel):
    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.layer = torch.nn.Linear(2, 2)
        self.register_buffer("window", torch.hann_window(8), persistent=False)
        self.post_init()


if sys.argv[1] == "save":
    model = Model(Config())
    model.save_pretrained(sys.argv[2])
    print(*(f"{value:.2f}" for value in model.window.tolist()))
else:
    window = Model.from_pretrained(sys.argv[2]).window
    print("the same values" if torch.equal(window, torch.hann_window(8)) else "other values")
PYTHON
constructed=$("$work/venv/bin/python" "$work/buffer.py" save "$work/model" 2>/dev/null)
loaded=$("$work/venv/bin/python" "$work/buffer.py" load "$work/model" 2>/dev/null)
echo "constructed: $constructed"
echo "from_pretrained: $loaded"
[ "$constructed" = "0.00 0.15 0.50 0.85 1.00 0.85 0.50 0.15" ] && [ "$loaded" = "other values" ]

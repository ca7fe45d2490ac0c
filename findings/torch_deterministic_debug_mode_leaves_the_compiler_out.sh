#!/usr/bin/env bash
# torch 2.13.0: the documentation calls torch.set_deterministic_debug_mode another interface of torch.use_deterministic_algorithms.
# Both make torch.are_deterministic_algorithms_enabled() true, but only the latter also tells the compiler, whose
# torch._inductor.config.deterministic keeps it from choosing kernels by their speed on this run. After the former, torch.compile
# may give other numbers in another run, while PyTorch says that deterministic algorithms are enabled. Switching the mode off again
# with it leaves the compiler deterministic, too.
#
# Seen 2026-11-28, Python 3.11:
#   use_deterministic_algorithms(True): enabled True, compiler True
#   set_deterministic_debug_mode("error"): enabled True, compiler False
#   the first, then set_deterministic_debug_mode("default"): enabled False, compiler True
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 2>/dev/null
cat >"$work/modes.py" <<'PYTHON'
import torch
import torch._inductor.config as compiler


def shown(what):
    print(f"{what}: enabled {torch.are_deterministic_algorithms_enabled()}, compiler {compiler.deterministic}")


torch.use_deterministic_algorithms(True)
shown("use_deterministic_algorithms(True)")
torch.use_deterministic_algorithms(False)
torch.set_deterministic_debug_mode("error")
shown('set_deterministic_debug_mode("error")')
torch.use_deterministic_algorithms(True)
torch.set_deterministic_debug_mode("default")
shown('the first, then set_deterministic_debug_mode("default")')
PYTHON
printed=$("$work/venv/bin/python" "$work/modes.py")
echo "$printed"
[ "$printed" = 'use_deterministic_algorithms(True): enabled True, compiler True
set_deterministic_debug_mode("error"): enabled True, compiler False
the first, then set_deterministic_debug_mode("default"): enabled False, compiler True' ]

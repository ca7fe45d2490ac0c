"""The command in a process of its own, and what it leaves."""

import subprocess
import sys


def process(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "telucodec.cli", *map(str, arguments)], capture_output=True, **options)


def left(folder):
    return sorted(path.name for path in folder.iterdir())

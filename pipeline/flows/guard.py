"""Runs a command that must not outlive its starter: `python guard.py COMMAND...` with a pipe as standard input.

The pipe closes when the starter ends, whatever the reason; then the guard ends its whole process group, including itself. The
starter must make it the leader of a new session.
"""

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 5


def main(command: list[str]) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the command, and sent to the whole group
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_default_sigterm)  # no threads here yet
    threading.Thread(target=_end_with_starter, daemon=True).start()
    return process.wait() % 256


def _default_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end_with_starter() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

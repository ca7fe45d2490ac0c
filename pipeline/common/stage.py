"""What every stage's command does: read params.yaml, run, and report bad input in one clear sentence."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.common import params as parameters

NO_SPACE = errno.ENOSPC, errno.EDQUOT, errno.EFBIG  # disk full, quota exceeded, file too large


class StageError(Exception):
    """Bad input or an impossible request; the message names the file, the value and the remedy."""


def is_shallow(repository: Path) -> bool:
    """Whether git has only the last commits of a repository."""
    command = ["git", "-C", str(repository), "rev-parse", "--is-shallow-repository"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() == "true"


def _refuse_lost_experiment() -> None:
    """DVC ends with 0 and keeps nothing of an experiment in a folder of its own (--temp, --queue) in a shallow clone."""
    root = os.environ.get("DVC_ROOT")
    if "DVC_EXP_NAME" not in os.environ or root is None or Path(root).resolve() == Path.cwd().resolve():
        return
    if is_shallow(Path(root)):
        raise StageError(
            f"{root} is a shallow clone, in which DVC loses this experiment; run `git fetch --unshallow` there first"
        )


def run(main: Callable[..., None], *arguments: str) -> None:
    """Run a stage with params.yaml. A StageError or ParamsError ends the process with its message and exit code 1."""
    try:
        _refuse_lost_experiment()
        main(parameters.load(), *arguments)
    except (StageError, parameters.ParamsError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        sys.exit(f"error: no space left in {Path.cwd()} ({error}); free some, then run the same command to continue")
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command to continue")

"""What every stage's command does: read params.yaml, run, and turn bad input into one clear sentence."""

import errno
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import params as parameters

NO_SPACE = errno.ENOSPC, errno.EDQUOT, errno.EFBIG  # the disk is full, the user's share of it, the largest file


class StageError(Exception):
    """Bad input or an impossible request; the message names the file, the value and the remedy."""


def run(main: Callable[..., None], *arguments: str) -> None:
    """Run a stage on params.yaml; a StageError or ParamsError ends the process with its message and exit code 1."""
    try:
        main(parameters.load(), *arguments)
    except (StageError, parameters.ParamsError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        sys.exit(f"error: no space to write in {Path.cwd()} ({error}); free some, then the same command goes on")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from what is finished")

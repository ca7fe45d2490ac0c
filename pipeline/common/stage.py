"""What every stage's command does: read params.yaml, run, and report bad input in one clear sentence."""

import errno
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.common import params as parameters

NO_SPACE = errno.ENOSPC, errno.EDQUOT, errno.EFBIG  # disk full, quota exceeded, file too large


class StageError(Exception):
    """Bad input or an impossible request; the message names the file, the value and the remedy."""


def run(main: Callable[..., None], *arguments: str) -> None:
    """Run a stage with params.yaml. A StageError or ParamsError ends the process with its message and exit code 1."""
    try:
        main(parameters.load(), *arguments)
    except (StageError, parameters.ParamsError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        sys.exit(f"error: no space left in {Path.cwd()} ({error}); free some, then run the same command to continue")
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command to continue")

"""Whether the Prefect server that runs would use answers."""

import os
import urllib.error
import urllib.request

SECONDS = 3  # for it to answer
REFUSALS = 401, 403  # with one of these it answers, and wants a key that Prefect has


def address() -> str | None:
    """The server that PREFECT_API_URL or Prefect's profile names; None: a flow starts its own."""
    from prefect.settings import Settings

    try:
        return Settings().api.url
    except ValueError:
        if "PREFECT_API_URL" in os.environ:  # `fault` says why it is none
            return os.environ["PREFECT_API_URL"]
        raise


def fault(address: str) -> str | None:
    """Why a server cannot be used; None if it can."""
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=SECONDS) as answer:
            is_prefect = answer.read(4) == b"true"
    except urllib.error.HTTPError as error:
        is_prefect = error.code in REFUSALS
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None if is_prefect else "what answers there is no Prefect server; its address ends with /api"


def remedy() -> str:
    """What to do about a server that does not answer."""
    unset = "unset PREFECT_API_URL" if "PREFECT_API_URL" in os.environ else "`prefect config unset PREFECT_API_URL`"
    return f"start it (`make serve`), correct PREFECT_API_URL, or {unset}, and a flow starts its own"

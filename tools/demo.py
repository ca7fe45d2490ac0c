"""Serves the page that codes speech in the browser, docs/demo, to this machine.

    python -m tools.demo

Copies the weights to docs/demo/models and makes docs/demo/examples, which git ignores. The folder is complete then: any web
server can serve it, below any path.
"""

import argparse
import functools
import shutil
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pipeline.common.stage import StageError
from pipeline.peers import PeerError
from telucodec.codec import SHIPPED, load
from telucodec.models import ENHANCER, KINDS, RUNTIME, WEIGHTS
from tools import demo_examples

PAGE = Path(__file__).parents[1] / "docs" / "demo"
MODELS = "models"  # beside the page
FOLDERS = *KINDS, f"{KINDS[0]}/{ENHANCER}"


class Handler(SimpleHTTPRequestHandler):
    """Files with the types that browsers insist on, whatever this machine's own list says; and no line for each of them."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".js": "text/javascript"}

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # so that new weights and an edited page are noticed
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--models",
        type=Path,
        default=SHIPPED,
        help="folder with the models, such as export (default: the shipped ones)",
    )
    parser.add_argument("--port", type=int, default=8000, help="of the server (default: 8000)")
    parser.add_argument("--no-server", action="store_true", help="only complete the folder, for another web server")
    options = parser.parse_args()
    try:
        copy_models(options.models, PAGE)
        demo_examples.complete(PAGE / "examples", load(options.models))
        if options.no_server:
            print(f"{PAGE} is complete")
            return
        with server(PAGE, options.port) as running:
            print(f"http://127.0.0.1:{running.server_port}/ (Ctrl+C ends)", flush=True)
            running.serve_forever()
    except OSError as error:
        sys.exit(
            f"{error.filename or f'port {options.port}'}: {error.strerror}; choose another with --models or --port"
        )
    except (PeerError, StageError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print()


def copy_models(models: Path, page: Path) -> None:
    """Put what the page needs of the models in a folder beside it.

    Raises:
        OSError: a file is missing or cannot be written.
    """
    for folder in FOLDERS:
        target = page / MODELS / folder
        target.mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS, RUNTIME):
            shutil.copyfile(models / folder / name, target / name)


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder, for this machine only; port 0: any that is free."""
    return ThreadingHTTPServer(("127.0.0.1", port), functools.partial(Handler, directory=str(folder)))


if __name__ == "__main__":
    main()

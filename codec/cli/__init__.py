"""The command `telucodec`, with one module per subcommand."""

import sys

from telucodec.cli.arguments import parser
from telucodec.errors import CodecError


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 for bad input, 2 for a bad command line, 130 when it is interrupted."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except CodecError as error:
        print(f"telucodec: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"telucodec: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("telucodec: interrupted; finished files are complete, and no others were written", file=sys.stderr)
        return 130
    return 0

"""`python -m telucodec.cli` is the command `telucodec`."""

import sys

from telucodec.cli import main

sys.exit(main())

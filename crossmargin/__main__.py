"""`python -m crossmargin` is the command `crossmargin`."""

import sys

from crossmargin.cli import main

if __name__ == "__main__":
    sys.exit(main())

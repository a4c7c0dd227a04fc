"""`python -m mdnn`."""

import sys

from mdnn.cli import main

if __name__ == "__main__":
    sys.exit(main())

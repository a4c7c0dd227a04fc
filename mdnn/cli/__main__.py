"""`python -m mdnn.cli`."""

import sys

from mdnn.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m mdnn.cli`, which programs and scripts of others call; the same as `python -m mdnn`."""

import sys

from mdnn.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())

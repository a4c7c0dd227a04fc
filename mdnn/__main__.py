"""`python -m mdnn`."""

import sys

from mdnn.cli import main

sys.exit(main())

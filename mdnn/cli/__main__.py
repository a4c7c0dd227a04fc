"""`python -m mdnn.cli`."""

import sys

from mdnn.cli.parser import main

sys.exit(main())

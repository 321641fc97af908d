"""Run the command line as ``python -m cvsr``."""

import sys

from cvsr.cli.verbs import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m effdl``."""

import sys

from effdl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

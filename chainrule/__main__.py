"""``python -m chainrule``: the command line without a script on the PATH."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
